"""A domain on the Internet of one machine: its DNS server, its web server, its mail server, all on loopback.

The DNS server answers from a zone over UDP, or holds its tongue; the web server serves documents by host and path with
a certificate of a test authority, or whatever octets a test wants; the mail server greets.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from mailsync_grpc.cli.demo.certificates import Certificates, make_certificates
from mailsync_grpc.discovery.finder import Finder, Ports
from mailsync_grpc.imap.endpoint import Endpoint, Policy
from mailsync_grpc.imap.tls import tls_context

Zone = dict[tuple[str, str], list[str]]
LOOPBACK = IPv4Network("127.0.0.0/8")


@dataclass(slots=True)
class NameServer:
    """Answers from `zone`, keyed by name and type; `junk` answers everything, `silent` nothing. `asked` are the names."""

    zone: Zone = field(default_factory=dict)
    junk: bytes = b""
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def answer(self, octets: bytes) -> bytes:
        query = dns.message.from_wire(octets)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(name)
        if self.junk:
            return octets[:2] + self.junk
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        kind = question.rdtype.name
        if (name, kind) in self.zone:
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *self.zone[name, kind]))
        elif not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()

    @contextmanager
    def running(self) -> Iterator[None]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(0.05)
            self.port = sock.getsockname()[1]
            ended = threading.Event()
            thread = threading.Thread(target=self._serve, args=(sock, ended))
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()

    def _serve(self, sock: socket.socket, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                octets, peer = sock.recvfrom(4096)
            except TimeoutError:
                continue
            if not self.silent:
                sock.sendto(self.answer(octets), peer)


@dataclass(slots=True)
class WebServer:
    """Serves `pages` by host and path without its query; a page is a document, or a function that writes to the socket."""

    pages: dict[str, bytes | Callable[[socket.socket], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def running(self, certificates: Certificates) -> Iterator[None]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host = self.headers["Host"].split(":")[0]
                web.asked.append(f"https://{host}{self.path}")
                page = web.pages.get(host + self.path.split("?")[0])
                if callable(page):
                    self.close_connection = True
                    page(self.connection)
                    return
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        with _tls_server(Handler, certificates) as port:
            self.port = port
            yield


@contextmanager
def mail_server(certificates: Certificates, greeting: bytes = b"* OK ready\r\n") -> Iterator[int]:
    """A server that greets over TLS and hears nothing; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.connection.sendall(greeting)

    with _tls_server(Handler, certificates) as port:
        yield port


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


@contextmanager
def _tls_server(handler: type[BaseHTTPRequestHandler], certificates: Certificates) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    with _Server(handler, context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@dataclass(slots=True)
class Domain:
    """The servers of a domain, and finders that ask nobody else."""

    names: NameServer
    web: WebServer
    imaps: int
    trusted: str

    def host(self, name: str, *addresses: str) -> None:
        """Give a host its addresses, loopback unless told otherwise."""
        self.names.zone[name, "A"] = list(addresses or ("127.0.0.1",))

    def finder(
        self, seconds: float = 5.0, directory: str = "", networks: Sequence[IPv4Network] = (LOOPBACK,)
    ) -> Finder:
        policy = Policy(allow_networks=tuple(networks))
        ports = Ports(self.web.port, self.imaps)
        return Finder(policy, seconds, directory, self._resolver, self._context, ports)

    def _context(self) -> ssl.SSLContext:
        return tls_context(Endpoint("", 443, ca_pem=self.trusted))

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.names.port
        return resolver


@contextmanager
def running_domain(directory: Path, hosts: Sequence[str]) -> Iterator[Domain]:
    """Start a domain whose certificate is for `hosts`."""
    certificates = make_certificates(directory, hosts)
    names, web = NameServer(), WebServer()
    with names.running(), web.running(certificates), mail_server(certificates) as imaps:
        yield Domain(names, web, imaps, certificates.ca_file.read_text())
