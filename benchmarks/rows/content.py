"""Content: the rate of an attachment from the cache and from the mail server, and what many large downloads hold.

Everything is downloaded over gRPC from a running service. A hit is held against a service of the same parts that streams
the plain file (`plain_file`); a miss against a raw connection that asks for the same part and reads it, in the same
windows or at once, whichever is faster, which no client behind it can outrun: on loopback, where copying is all the time
there is, and over links of the speed of a good one, without a delay and with one, where it shows whether they are kept busy. Octets are those that the mail server sends: nothing is decoded, except in
the row's note, which says what that costs. The cache is emptied by its call before every miss.
"""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import goals
from benchmarks.measure import Usage, memory_of, ratio, timed
from benchmarks.ours import Ours, ours
from benchmarks.plain_file import PlainFile, plain_file
from benchmarks.raw_wire import RawWire
from benchmarks.result import Row
from benchmarks.session import Session
from mailsync_grpc.cli.demo import mime
from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.dovecot_config import DovecotOptions
from mailsync_grpc.content.shared import WINDOW
from mailsync_grpc.v1.account_service_pb2 import DeleteAccountRequest
from mailsync_grpc.v1.content_service_pb2 import DownloadContentRequest
from mailsync_grpc.v1.envelope_service_pb2 import ListEnvelopesRequest
from mailsync_grpc.v1.system_service_pb2 import PurgeContentCacheRequest
from tests.support.mail import Mailbox
from tests.support.relay import Relay, RelayedMailbox
from tests.support.service import Stubs

_USER = "content"
_SECTION = "2"
_ATTACHMENT = 10_000_000
_LARGE = 36_500_000
"""50 MB as the mail server sends it."""
_LARGE_CHUNK = 1 << 20
"""The largest a caller may ask for, as one of much content would."""
_PARALLEL = 20
_LINK = 50e6
"""Octets a second of a link on which the link is what takes the time, as it is with most mail servers."""
_DELAY = 0.02
"""Seconds by which a mail server that is not next door is heard later."""
_LOOK = 0.02
"""Seconds between looks at the service's memory."""


def rows(session: Session) -> list[Row]:
    """Measure hits, misses and memory."""
    session.tell("content")
    with (
        DovecotServer([_USER], DovecotOptions(storage="mdbox")) as server,
        ours(session.place.small) as service,
        TemporaryDirectory() as directory,
    ):
        mailbox = Mailbox(server, _USER)
        mailbox.deliver([_message(_ATTACHMENT, 0)])
        inbox = service.sync(mailbox)
        (name,) = _names(service, inbox).values()
        file = Path(directory) / "plain"
        file.write_bytes(mime.base64_lines(random.Random(0).randbytes(_ATTACHMENT)))
        octets = _download(service.stubs, name)
        with plain_file(file) as plain, Stubs(plain.address) as reference:
            hit = _hit(session, service, name, plain, reference)
        return [
            hit,
            _miss(goals.CONTENT_MISS, session, service, name, mailbox, octets),
            _over_link(goals.CONTENT_LINK, session, service, server, 0.0),
            _over_link(goals.CONTENT_FAR, session, service, server, _DELAY),
            _memory(session, service, inbox, mailbox),
        ]


def _message(size: int, seed: int) -> bytes:
    content = mime.base64_lines(random.Random(seed).randbytes(size))
    file = mime.part(
        b"application/octet-stream", content, b"base64", b'Content-Disposition: attachment; filename="f"'
    )
    text = mime.part(b"text/plain", b"see file", b"7bit")
    return b"From: a@example.org\r\nMIME-Version: 1.0\r\n" + mime.multipart("mixed", b"m", [text, file])


def _names(service: Ours, inbox: str) -> dict[int, str]:
    page = service.stubs.envelopes.ListEnvelopes(ListEnvelopesRequest(parent=inbox, page_size=100))
    return {envelope.uid: envelope.name for envelope in page.envelopes}


def _download(stubs: Stubs, name: str, *, decode: bool = False, chunk: int = 0) -> int:
    request = DownloadContentRequest(name=name, section=_SECTION, decode=decode, chunk_size=chunk)
    return sum(len(piece.chunk) for piece in stubs.content.DownloadContent(request))


def _timed(service: Ours | PlainFile, action: Callable[[], object]) -> Usage:
    watch = service.stopwatch()
    with watch.running():
        action()
    return watch.usage


def _hit(session: Session, service: Ours, name: str, plain: PlainFile, reference: Stubs) -> Row:
    cached, decoded, streamed, large, large_streamed = session.rounds(
        lambda: _timed(service, lambda: _download(service.stubs, name)),
        lambda: _timed(service, lambda: _download(service.stubs, name, decode=True)),
        lambda: _timed(plain, lambda: _download(reference, name)),
        lambda: _timed(service, lambda: _download(service.stubs, name, chunk=_LARGE_CHUNK)),
        lambda: _timed(plain, lambda: _download(reference, name, chunk=_LARGE_CHUNK)),
    )
    rate = ratio([usage.wall for usage in streamed], [usage.wall for usage in cached])
    decoding = ratio([usage.wall for usage in streamed], [usage.wall for usage in decoded])
    in_large = ratio([usage.wall for usage in large_streamed], [usage.wall for usage in large])
    note = (
        f"{_ATTACHMENT:,} octets in base64, as sent; both in chunks of 1 MiB {in_large.middle:.2f}; decoded {decoding.middle:.2f} ({median(u.wall for u in decoded) * 1e3:.0f} ms)"
        f"; CPU of the services {_ms(cached, 1):.0f} and {_ms(streamed, 1):.0f} ms"
    )
    return Row(goals.CONTENT_HIT, rate, _ms(cached), _ms(streamed), "ms", note)


def _ms(usages: list[Usage], field: int = 0) -> float:
    return median(usage[field] for usage in usages) * 1e3


def _miss(goal: goals.Goal, session: Session, service: Ours, name: str, mailbox: Mailbox, octets: int) -> Row:
    def miss(*, decode: bool = False) -> Usage:
        service.stubs.system.PurgeContentCache(PurgeContentCacheRequest())
        return _timed(service, lambda: _download(service.stubs, name, decode=decode))

    windows = [b"UID FETCH 1 (BODY.PEEK[2]<%d.%d>)" % (start, WINDOW) for start in range(0, octets, WINDOW)]
    with _examined(mailbox) as wire:
        fetched, decoded, raw, whole = session.rounds(
            miss,
            lambda: miss(decode=True),
            lambda: timed(lambda: wire.run(windows)),
            lambda: timed(lambda: wire.run([b"UID FETCH 1 (BODY.PEEK[2])"])),
        )
    wire_times = min([raw, whole], key=_ms)
    rate = ratio([usage.wall for usage in wire_times], [usage.wall for usage in fetched])
    note = (
        f"as sent; decoded {_ms(decoded):.0f} ms; CPU of the service {_ms(fetched, 1):.0f} ms;"
        f" the wire in windows of {WINDOW >> 10} KiB {_ms(raw):.0f} ms, at once {_ms(whole):.0f} ms"
    )
    return Row(goal, rate, _ms(fetched), _ms(wire_times), "ms", note)


def _over_link(goal: goals.Goal, session: Session, service: Ours, server: DovecotServer, delay: float) -> Row:
    with Relay(server.host, server.port, keep_received=False, rate=_LINK, delay=delay) as relay:
        link = RelayedMailbox(server, _USER, relay=relay)
        inbox = service.sync(link)
        (name,) = _names(service, inbox).values()
        row = _miss(goal, session, service, name, link, _download(service.stubs, name))
        # Its connections would count against those that the server allows this mailbox.
        service.stubs.accounts.DeleteAccount(DeleteAccountRequest(name="/".join(inbox.split("/")[:2])))
        return row


@contextmanager
def _examined(mailbox: Mailbox) -> Iterator[RawWire]:
    with RawWire(mailbox.host, mailbox.port, mailbox.user, mailbox.password) as wire:
        wire.run([b"EXAMINE INBOX"])
        yield wire


def _memory(session: Session, service: Ours, inbox: str, mailbox: Mailbox) -> Row:
    """Measure by how much the API process is larger than before at its largest."""
    session.tell(f"content: {_PARALLEL} large downloads")
    mailbox.deliver(_message(_LARGE, number) for number in range(1, _PARALLEL + 1))
    service.stubs.sync(inbox.split("/")[1])
    names = [name for uid, name in _names(service, inbox).items() if uid > 1]
    idle, sizes, ended = memory_of(service.pid), [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            sizes.append(memory_of(service.pid))

    watching = threading.Thread(target=look)
    watching.start()
    with ThreadPoolExecutor(_PARALLEL) as pool:
        usage = timed(lambda: list(pool.map(lambda name: _download(service.stubs, name), names)))
    ended.set()
    watching.join()
    over = max(0.0, max(sizes) - idle) / 1024
    note = f"{len(names)} of 50 MB from one mailbox in {usage.wall:.0f} s; {idle / 1024:.0f} MB when idle"
    return Row(goals.CONTENT_MEMORY, over, note=note)
