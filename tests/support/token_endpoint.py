"""An OAuth 2 token endpoint on loopback (RFC 6749 section 3.2) that a test can put out of order."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs


class TokenEndpoint:
    """Grants `token1`, `token2`, … inside a ``with`` block, each told to `granted`; `forms` are the requests."""

    def __init__(self, granted: Callable[[str], object]) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.status, self.fault = 200, ""
        self.lifetime: object = 3_600
        self.hold = threading.Event()
        self.hold.set()
        self._granted = granted
        self._numbers = count(1)
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = json.dumps(endpoint.answer(parse_qs(body.decode()))).encode()
                self.send_response(endpoint.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def answer(self, form: dict[str, list[str]]) -> dict[str, Any]:
        self.forms.append(form)
        self.hold.wait(10)
        if self.fault:
            return {"error": self.fault}
        token = f"token{next(self._numbers)}"
        self._granted(token)
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
