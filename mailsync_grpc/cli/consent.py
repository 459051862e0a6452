"""A user's consent, had on the command line: the address to open, and what the browser brings back.

The browser is sent back to a listener on loopback (RFC 8252 section 7.3) that takes one answer bearing the state that went
out. Where the browser is on another machine, the address that it ends at is pasted instead. The code is neither an argument
nor printed.
"""

import sys
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import typer

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import printable
from mailsync_grpc.v1 import account_service_pb2 as service

PASTED_REDIRECT: Final = "http://127.0.0.1/"
"""Where nobody listens: the browser shows an error, and the address to paste."""
# The service asks the provider, and logs in to the mail server, before it answers.
_CALL_SECONDS = 180.0
_LOOK_SECONDS = 1.0
_PAGE = (
    b"<!doctype html><title>mailsync</title><p>You can close this window and go back to the terminal.</p>\n"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose consent is asked for, and how its answer comes back; `redirect_uri` empty: by the listener."""

    provider: str
    account: str = ""
    login_hint: str = ""
    redirect_uri: str = ""


@dataclass(slots=True)
class Listener:
    """Takes one answer from the browser on an ephemeral port of loopback."""

    state: str = ""
    answer: dict[str, str] = field(default_factory=dict, repr=False)
    server: HTTPServer = field(init=False)

    def __post_init__(self) -> None:
        """Listen, so that the address to send the browser to is known."""
        self.server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.server.timeout = _LOOK_SECONDS

    @property
    def redirect_uri(self) -> str:
        """Where the browser is to be sent."""
        return f"http://127.0.0.1:{self.server.server_port}/"

    def wait(self, until: float) -> dict[str, str]:
        """Return what came back. CommandError after `until`, in seconds since 1970."""
        while not self.answer:
            if time.time() > until:
                raise CommandError("nobody consented in time; run it again")
            self.server.handle_request()
        return self.answer

    def close(self) -> None:
        """Listen no more."""
        self.server.server_close()

    def take(self, path: str) -> bool:
        """Take the answer in a request's path, if it is one and bears our state."""
        found = dict(parse_qsl(urlsplit(path).query))
        if found.get("state") != self.state or not ("code" in found or "error" in found):
            return False
        self.answer = found
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                taken = listener.take(self.path)
                self.send_response(200 if taken else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(_PAGE if taken else b"")

            def log_message(self, *_: object) -> None:
                """Print nothing: the path holds the code."""

        return Handler


def consent(session: Session, wanted: Wanted) -> service.CompleteAuthorizationResponse:
    """Ask the user for a consent and complete it. CommandError when it is refused or does not come."""
    if wanted.redirect_uri:
        begun = _begin(session, wanted, wanted.redirect_uri)
        return _complete(session, begun, _pasted(begun))
    listener = Listener()
    try:
        begun = _begin(session, wanted, listener.redirect_uri)
        listener.state = begun.state
        return _complete(session, begun, listener.wait(begun.expire_time.seconds))
    finally:
        listener.close()


def _begin(session: Session, wanted: Wanted, redirect_uri: str) -> service.BeginAuthorizationResponse:
    request = service.BeginAuthorizationRequest(
        account=wanted.account,
        provider=wanted.provider,
        redirect_uri=redirect_uri,
        login_hint=wanted.login_hint,
    )
    begun = session.call(session.accounts.BeginAuthorization, request, _CALL_SECONDS)
    # Whole, on one line, whatever the width: it is to be clicked or copied.
    print(
        f"open this address and consent:\n{printable(begun.authorization_url)}", file=sys.stderr, flush=True
    )
    return begun


def _pasted(begun: service.BeginAuthorizationResponse) -> dict[str, str]:
    if sys.stdin.isatty():
        text = typer.prompt("the address the browser ends at", hide_input=True, err=True)
    else:
        text = sys.stdin.readline()
    found = dict(parse_qsl(urlsplit(text.strip()).query))
    if found.get("state") != begun.state:
        raise CommandError("that is not the answer to this request; paste the whole address, with its state")
    return found


def _complete(
    session: Session, begun: service.BeginAuthorizationResponse, answer: dict[str, str]
) -> service.CompleteAuthorizationResponse:
    if "code" not in answer:
        raise CommandError(f"the provider says: {answer.get('error', 'no code')}")
    request = service.CompleteAuthorizationRequest(state=begun.state, code=answer["code"])
    return session.call(session.accounts.CompleteAuthorization, request, _CALL_SECONDS)
