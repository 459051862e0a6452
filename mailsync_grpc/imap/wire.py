r"""The guarded socket: an `imaplib.IMAP4` that reads in chunks, keeps deadlines and caps, and sends only what reads.

`imaplib` keeps the protocol's state up to the login; every octet in either direction passes here. Outgoing lines are
held against the allow-list of `commands`, unless `changing` gives the wire another. Incoming octets go into one
`ReceiveBuffer`, which serves both imaplib's line reader and whole answers read by tag. A command has a deadline that
received octets extend only at a minimum rate, so that a server that drips cannot hold a thread. Before STARTTLS completes
nothing may be buffered: what an attacker on the path injected in clear must not be taken for the server's word
(CVE-2011-0411).
"""

import contextlib
import imaplib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from mailsync_grpc import metrics
from mailsync_grpc.errors import (
    ImapProtocolError,
    ImapTlsError,
    ImapUnreachableError,
    MailsyncError,
    UnsafeArgumentError,
)
from mailsync_grpc.imap import commands
from mailsync_grpc.imap.answer import untagged_text
from mailsync_grpc.imap.dialling import dial
from mailsync_grpc.imap.endpoint import Endpoint, Policy
from mailsync_grpc.imap.ledger import UNMETERED, Lease
from mailsync_grpc.imap.receive import Answer, ReceiveBuffer
from mailsync_grpc.imap.refusal import farewell
from mailsync_grpc.imap.tls import described, secured

_CHUNK = 256 * 1024
_RECEIVED = metrics.IMAP_BYTES.labels(direction="received")
_SENT = metrics.IMAP_BYTES.labels(direction="sent")
Clock = Callable[[], float]
_Taken = TypeVar("_Taken")


class Wire(imaplib.IMAP4):
    """A connected, not yet authenticated IMAP connection.

    It ends `lease`, and counts there what it receives. Any fault closes it; faults of the socket, of TLS and of the caps are raised as the error tree's, only what the
    server answers reaches imaplib. Counters are octets inside TLS.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        policy: Policy,
        clock: Clock,
        lease: Lease = UNMETERED,
    ) -> None:
        self._endpoint = endpoint
        self.lease = lease
        self._policy = policy
        self._clock = clock
        self._received = ReceiveBuffer(policy.max_line, policy.max_literal, policy.max_response)
        self._deadline = clock() + policy.connect_timeout
        self._in_sasl = False
        self.check_line: Callable[[bytes], str] = commands.check_line
        self.closed = False
        self.bytes_received = 0
        self.bytes_sent = 0
        self.commands = 0
        super().__init__(endpoint.host, endpoint.port)

    # What imaplib calls to reach the socket.

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """Connect as the endpoint says, and as far as the policy lets."""
        self.host, self.port = host, port
        self._timeout = timeout
        with self._closing_on_fault():
            self.sock = dial(self._endpoint, self._policy)
            metrics.IMAP_CONNECTIONS.inc()

    def send(self, data: Any) -> None:
        """Send one command line of the allow-list, or a SASL response while authenticating."""
        data = bytes(data)
        if self._in_sasl and b" " not in data:
            commands.check_sasl_response(data)
            self._write(data)
        else:
            self.send_lines([data])

    def read(self, size: int) -> bytes:
        """Return exactly `size` octets."""
        return self._until(lambda: self._received.take(size))

    def readline(self) -> bytes:
        """Return the next line with its line end."""
        return self._until(self._received.take_line)

    def shutdown(self) -> None:
        """Close the socket, also under a thread that waits for it; harmless when it is closed."""
        was_closed, self.closed = self.closed, True
        self.lease.release()
        if isinstance(getattr(self, "sock", None), socket.socket):
            if not was_closed:
                metrics.IMAP_CONNECTIONS.dec()
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()

    def starttls(self, _context: ssl.SSLContext | None = None) -> Any:
        """Go on inside TLS as the endpoint says, forgetting everything that was said in clear."""
        status, data = self._simple_command("STARTTLS")
        if status != "OK":
            self._fail(ImapTlsError("the server refused STARTTLS"))
        if len(self._received):
            self._fail(ImapProtocolError("the server sent data in clear after STARTTLS"))
        with self._closing_on_fault():
            self.sock = secured(self.sock, self._endpoint, self._policy.connect_timeout)
        self._tls_established = True
        self.untagged_responses.clear()
        self._get_capabilities()
        return status, data

    def authenticate(self, mechanism: str, authobject: Callable[[bytes], bytes | None]) -> Any:
        """Authenticate; only then may lines that are no commands be sent."""
        self._in_sasl = True
        try:
            return super().authenticate(mechanism, authobject)
        finally:
            self._in_sasl = False

    def _log(self, line: object) -> None:
        """Keep none of imaplib's record of the last lines: it would hold the login."""

    def _mesg(self, s: str, secs: float | None = None) -> None:
        """Print nothing."""

    # What the connection uses once it is authenticated.

    def send_lines(self, lines: list[bytes], patience: float | None = None) -> None:
        """Send complete command lines at once; their answers must come in `patience` seconds, else in the policy's."""
        for name in [self.check_line(line) for line in lines]:
            metrics.IMAP_COMMANDS.labels(command=name).inc()
        self.commands += len(lines)
        self._deadline = self._clock() + (patience or self._policy.command_deadline)
        self._write(b"".join(lines))

    def send_octets(self, octets: bytes) -> None:
        """Send what belongs to the command sent last; it has the more time for it, the larger it is."""
        self._deadline += len(octets) / self._policy.min_bytes_per_second
        self._write(octets)

    def read_answer(self, tag: bytes) -> Answer:
        """Return the answer to the command sent with `tag`."""
        return self._until(lambda: self._received.take_answer(tag))

    def read_response(self) -> bytes:
        """Return the next response, tagged or not, with its line end."""
        return self._until(self._received.take_response)

    def _until(self, take: Callable[[], _Taken | None]) -> _Taken:
        with self._closing_on_fault():
            while (taken := take()) is None:
                self._receive()
            return taken

    def _receive(self) -> None:
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise ImapUnreachableError("the server did not complete its answer in time")
        self.sock.settimeout(remaining)
        data = self.sock.recv(_CHUNK)
        if not data:
            raise farewell(self._last_words())
        self.bytes_received += len(data)
        _RECEIVED.inc(len(data))
        self.lease.received(len(data))
        self._deadline += len(data) / self._policy.min_bytes_per_second
        self._received.feed(data)

    def _last_words(self) -> str:
        """The line before the end; imaplib may have read it already."""
        if bye := self.untagged_responses.get("BYE"):
            return f"* BYE {untagged_text(bye[-1])}"
        return self._received.last_line().decode("latin-1")

    def _write(self, data: bytes) -> None:
        with self._closing_on_fault():
            self.sock.settimeout(max(self._deadline - self._clock(), 0.001))
            self.sock.sendall(data)
        self.bytes_sent += len(data)
        _SENT.inc(len(data))

    @contextlib.contextmanager
    def _closing_on_fault(self) -> Iterator[None]:
        try:
            yield
        except UnsafeArgumentError:
            raise
        except MailsyncError:
            self.shutdown()
            raise
        except OSError as fault:
            self._fail(described(fault, self._endpoint))

    def _fail(self, error: MailsyncError) -> NoReturn:
        self.shutdown()
        raise error from None
