"""An OAuth 2 authorization server on loopback: consent, codes with PKCE, tokens, rotation, introspection, metadata.

It answers over http, and over TLS when it is given certificates. Refresh tokens are rotated, and a spent one that is shown
again revokes everything that came of the consent, as RFC 9700 section 4.14.2 has it. A test may put the token endpoint out
of order (`spoil`), let a user refuse, shorten the tokens' lives, or end them.
"""

import base64
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from mailsync_grpc.cli.demo.certificates import Certificates

CLIENT, SECRET = "client-5a7d", "canary-client-secret-0c6e"


class Reply(NamedTuple):
    """What the token endpoint answers instead of what it should: raw octets, or a status with a body."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Code:
    """A code on its way to the client, and what its exchange must show."""

    user: str
    redirect_uri: str
    challenge: str


@dataclass
class Family:
    """All that came of one consent; `spent` are refresh tokens that were rotated away."""

    user: str
    refresh: str = ""
    spent: set[str] = field(default_factory=set)
    access: set[str] = field(default_factory=set)
    revoked: bool = False


class OAuthServer:
    """Serves inside a ``with`` block. `user` is who consents, None for one who refuses."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.user: str | None = "anna"
        self.lifetime: object = 3_600
        self.rotates = True
        self.spoil: Callable[[dict[str, str]], Reply | None] = lambda _form: None
        self.forms: list[dict[str, str]] = []
        self.asked: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.families: list[Family] = []
        self.secrets: set[str] = {SECRET}
        self._codes: dict[str, Code] = {}
        self._lock = threading.Lock()
        self._servers = [_server(self, None)]
        if certificates is not None:
            self._servers.append(_server(self, certificates))
        self._certificates = certificates

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def issuer(self) -> str:
        if self._certificates is None:
            return f"{self.http}/tenant"
        return f"https://localhost:{self._servers[-1].server_port}/tenant"

    @property
    def authorization_endpoint(self) -> str:
        return f"{self.issuer}/authorize?audience=mail"

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    # What a user does

    def browse(self, url: str) -> dict[str, str]:
        """Follow an authorization URL as a browser does; return what the redirection hands to the client."""
        asked = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        self.asked.append(asked)
        assert (asked["response_type"], asked["client_id"], asked["audience"]) == ("code", CLIENT, "mail")
        assert asked["code_challenge_method"] == "S256"
        if self.user is None:
            return {"error": "access_denied", "state": asked["state"]}
        code = self.secret("code")
        self._codes[code] = Code(self.user, asked["redirect_uri"], asked["code_challenge"])
        return {"code": code, "state": asked["state"]}

    def consent(self, user: str = "anna") -> str:
        """Give a consent outside of the flow under test; return its refresh token."""
        family = Family(user, self.secret("refresh"))
        self.families.append(family)
        return family.refresh

    def grant(self, user: str = "anna") -> str:
        """Return an access token without a refresh token."""
        family = Family(user)
        self.families.append(family)
        return self._access(family)

    def end_access(self) -> None:
        """End every access token that was granted, before its time."""
        for family in self.families:
            family.access.clear()

    def secret(self, kind: str) -> str:
        made = f"canary-{kind}-{secrets.token_hex(8)}"
        self.secrets.add(made)
        return made

    # What clients and mail servers ask

    def answer(self, path: str, form: dict[str, str]) -> Reply:
        self.paths.append(path)
        where = path.removeprefix("/tenant")
        if where == "/.well-known/openid-configuration":
            return self._metadata()
        if where == "/introspect":
            return self._introspected(form.get("token", ""))
        if where == "/token":
            spoilt = self.spoil(form)
            with self._lock:
                self.forms.append(form)
                return spoilt or self._token(form)
        return Reply(404, b"{}")

    def _metadata(self) -> Reply:
        endpoints = {
            "issuer": self.issuer,
            "authorization_endpoint": self.authorization_endpoint,
            "token_endpoint": self.token_endpoint,
        }
        return Reply(200, json.dumps(endpoints).encode())

    def _introspected(self, token: str) -> Reply:
        users = [family.user for family in self.families if token in family.access and not family.revoked]
        found: dict[str, Any] = {"active": bool(users)}
        if users:
            found["username"] = users[0]
        return Reply(200, json.dumps(found).encode())

    def _token(self, form: dict[str, str]) -> Reply:
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return _refused("invalid_client", 401)
        if form["grant_type"] == "authorization_code":
            return self._exchanged(form)
        return self._refreshed(form)

    def _exchanged(self, form: dict[str, str]) -> Reply:
        code = self._codes.pop(form["code"], None)
        shown = (
            base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        )
        self.secrets.add(form["code_verifier"])
        if code is None or (code.challenge, code.redirect_uri) != (shown, form["redirect_uri"]):
            return _refused("invalid_grant")
        family = Family(code.user, self.secret("refresh"))
        self.families.append(family)
        return self._granted(family, family.refresh)

    def _refreshed(self, form: dict[str, str]) -> Reply:
        shown = form["refresh_token"]
        family = next((one for one in self.families if shown == one.refresh or shown in one.spent), None)
        if family is None or family.revoked:
            return _refused("invalid_grant")
        if shown in family.spent:
            family.revoked = True
            return _refused("invalid_grant")
        if self.rotates:
            family.spent.add(family.refresh)
            family.refresh = self.secret("refresh")
            return self._granted(family, family.refresh)
        return self._granted(family, "")

    def _granted(self, family: Family, refresh: str) -> Reply:
        granted = {"access_token": self._access(family), "token_type": "Bearer", "expires_in": self.lifetime}
        if refresh:
            granted["refresh_token"] = refresh
        return Reply(200, json.dumps(granted).encode())

    def _access(self, family: Family) -> str:
        token = self.secret("access")
        family.access.add(token)
        return token

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        for server in self._servers:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            self._stack.callback(thread.join)
            self._stack.callback(server.server_close)
            self._stack.callback(server.shutdown)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _refused(error: str, status: int = 400) -> Reply:
    return Reply(status, json.dumps({"error": error, "error_description": "no"}).encode())


def _server(owner: OAuthServer, certificates: Certificates | None) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(owner.answer(urlsplit(self.path).path, {}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._send(owner.answer(self.path, form))

        def _send(self, reply: Reply) -> None:
            with suppress(OSError):
                if not reply.status:
                    self.wfile.write(reply.body)
                    return
                self.send_response(reply.status)
                for name, value in (*reply.headers, ("Content-Length", str(len(reply.body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[Any, Any]:
            accepted, address = super().get_request()
            return (context.wrap_socket(accepted, server_side=True) if context else accepted), address

        def handle_error(self, request: object, client_address: object) -> None:
            """Print nothing: clients hang up on what is spoilt."""

    context = None
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.cert_file, certificates.key_file)
    return Server(("127.0.0.1", 0), Handler)


def redirected(redirect_uri: str, parameters: dict[str, str]) -> str:
    """The address that the browser is sent back to."""
    return f"{redirect_uri}?{urlencode(parameters)}"


def hung(seconds: float) -> Callable[[dict[str, str]], Reply | None]:
    """Let the token endpoint answer late."""

    def wait(_form: dict[str, str]) -> None:
        time.sleep(seconds)

    return wait
