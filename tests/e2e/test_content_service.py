"""Content through `mailsync serve` from a real Dovecot: what the mirror leaves out, what goes wrong on disk, and polls meanwhile."""

import hashlib
import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest

from mailsync_grpc.cli.demo import mime
from mailsync_grpc.v1 import (
    account_pb2,
    account_service_pb2,
    content_service_pb2,
    envelope_service_pb2,
    folder_service_pb2,
    system_service_pb2,
)
from tests.support.api import reason
from tests.support.content_corpus import HEAD
from tests.support.mail import Mailbox, letters
from tests.support.service import Service, Stubs, running, wait_for

LARGE = random.Random(11).randbytes(37_000_000)
"""50 MB in base64."""
PICTURE = random.Random(12).randbytes(30_000)
KIND = {
    "text": content_service_pb2.CONTENT_KIND_TEXT,
    "html": content_service_pb2.CONTENT_KIND_HTML,
    "raw": content_service_pb2.CONTENT_KIND_RAW,
}
pytestmark = pytest.mark.timeout(300)


def with_file(content: bytes, name: str = "file.bin") -> bytes:
    file = mime.part(
        b"application/octet-stream",
        mime.base64_lines(content),
        b"base64",
        b'Content-Disposition: attachment; filename="%b"' % name.encode(),
    )
    return HEAD + mime.multipart("mixed", b"m", [mime.part(b"text/plain", b"see file", b"7bit"), file])


def with_picture() -> bytes:
    html = mime.part(b"text/html", b'<img src="cid:logo%2B1@here">', b"7bit")
    picture = mime.part(b"image/png", mime.base64_lines(PICTURE), b"base64", b"Content-ID: <logo+1@here>")
    return HEAD + mime.multipart("related", b"r", [html, picture])


class Site:
    """A service with one account, `work`, on a mailbox."""

    def __init__(self, service: Service, stubs: Stubs, mailbox: Mailbox) -> None:
        self.service, self.stubs, self.mailbox = service, stubs, mailbox

    @property
    def cache(self) -> Path:
        return self.service.data / "data" / "content"

    def sync(self, settings: account_pb2.SyncSettings | None = None) -> None:
        self.stubs.finish(self.stubs.register(self.mailbox, "work", settings))

    def inbox(self) -> str:
        request = folder_service_pb2.ListFoldersRequest(parent="accounts/work")
        found = self.stubs.folders.ListFolders(request).folders
        return next(folder.name for folder in found if folder.path == "INBOX")

    def names(self) -> dict[int, str]:
        """The envelopes the mirror holds, by UID."""
        request = envelope_service_pb2.ListEnvelopesRequest(parent=self.inbox(), page_size=100)
        return {each.uid: each.name for each in self.stubs.envelopes.ListEnvelopes(request).envelopes}

    def pieces(
        self, name: str, what: str, *, decode: bool = True
    ) -> Iterator[content_service_pb2.DownloadContentResponse]:
        request = content_service_pb2.DownloadContentRequest(name=name, decode=decode)
        if what in KIND:
            request.kind = KIND[what]
        elif "@" in what:
            request.content_id = what
        else:
            request.section = what
        yield from self.stubs.content.DownloadContent(request)

    def get(self, name: str, what: str, *, decode: bool = True) -> tuple[bytes, bool]:
        """Return content, whole and verified, and whether it came from the cache."""
        header, *chunks, trailer = self.pieces(name, what, decode=decode)
        octets = b"".join(piece.chunk for piece in chunks)
        assert trailer.trailer.sha256 == hashlib.sha256(octets).digest()
        return octets, header.header.cached

    def refused(self, name: str, what: str) -> str:
        with pytest.raises(grpc.RpcError) as raised:
            self.get(name, what)
        return reason(raised.value)  # type: ignore[arg-type]  # the same of a blocking call

    def metrics(self) -> str:
        with urlopen(self.service.metrics_url) as page:  # noqa: S310 - loopback, chosen by the test
            return str(page.read(), "utf-8")


@pytest.fixture
def site(tmp_path: Path, mailbox: Mailbox) -> Iterator[Site]:
    with running(Service(tmp_path / "home")) as service, Stubs(service.address) as stubs:
        yield Site(service, stubs, mailbox)


def test_a_picture_is_found_by_the_content_id_that_the_html_names(site: Site) -> None:
    site.mailbox.deliver([with_picture()])
    site.sync()
    name = site.names()[1]
    assert site.get(name, "html")[0].endswith(b'"cid:logo%2B1@here">')
    for content_id in ("logo%2B1@here", "logo+1@here", "<logo+1@here>"):
        assert site.get(name, content_id)[0] == PICTURE
    assert site.refused(name, "other@here") == "PART_NOT_FOUND"


def test_content_of_a_minimal_mirror_is_as_complete_as_any(site: Site) -> None:
    site.mailbox.deliver([with_picture(), with_file(PICTURE)])
    site.sync(account_pb2.SyncSettings(mode=account_pb2.SYNC_MODE_MINIMAL))
    names = site.names()
    assert site.get(names[1], "logo+1@here")[0] == PICTURE
    assert site.get(names[2], "text")[0] == b"see file"
    assert site.get(names[2], "2")[0] == PICTURE


def test_a_message_outside_the_window_is_served_while_its_server_has_it(site: Site) -> None:
    site.mailbox.deliver([with_file(PICTURE), *letters(3)])
    site.sync(account_pb2.SyncSettings(window=account_pb2.Window(newest=2)))
    names = site.names()
    assert sorted(names) == [3, 4]
    outside = names[3].removesuffix(".3") + ".1"
    assert site.get(outside, "text")[0] == b"see file"
    assert [site.get(outside, "2") for _ in range(2)] == [(PICTURE, False), (PICTURE, True)]
    assert site.refused(names[3].removesuffix(".3") + ".99", "text") == "ENVELOPE_NOT_FOUND"
    site.mailbox.expunge("1")
    assert site.refused(outside, "2") == "ENVELOPE_NOT_FOUND", "though it is cached"
    cache = site.stubs.system.GetStats(system_service_pb2.GetStatsRequest()).cache
    assert cache.entries == 0, "what is gone is purged"


def test_polls_go_on_while_large_attachments_are_downloaded(site: Site) -> None:
    """More downloads than content has connections, some draining as fast as they can, one that takes nothing for now."""
    site.mailbox.deliver([with_file(LARGE), *(with_file(LARGE[:8_000_000] + bytes([n])) for n in range(4))])
    site.sync()
    names = site.names()
    stalled = site.pieces(names[1], "2")
    assert next(stalled).header.file_name == "file.bin"
    done = threading.Event()

    def drain(uid: int) -> int:
        times = 0
        while not done.is_set() or not times:
            assert site.get(names[uid], "2", decode=times % 2 == 0)[0]
            purge = system_service_pb2.PurgeContentCacheRequest(account="accounts/work")
            site.stubs.system.PurgeContentCache(purge)
            times += 1
        return times

    with ThreadPoolExecutor(4) as pool:
        drains = [pool.submit(drain, uid) for uid in (2, 3, 4, 5)]
        try:
            for number in range(5):
                site.mailbox.deliver(letters(1))
                site.stubs.sync("work")
                assert max(site.names()) == 6 + number, "the poll that was asked for has seen the new message"
        finally:
            done.set()
        assert all(each.result() for each in drains)
    assert b"".join(piece.chunk for piece in stalled) == LARGE


def test_a_cache_deleted_while_the_service_runs_is_filled_again(site: Site) -> None:
    site.mailbox.deliver([with_file(PICTURE)])
    site.sync()
    name = site.names()[1]
    assert site.get(name, "2") == (PICTURE, False)
    wait_for(lambda: site.get(name, "2")[1] or None, 20, "the entry")
    shutil.rmtree(site.cache)
    assert site.get(name, "2") == (PICTURE, False)
    wait_for(lambda: site.get(name, "2")[1] or None, 20, "the entry")
    (file,) = site.cache.glob("??/??/*")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    assert site.get(name, "2")[0] == PICTURE
    file.unlink(missing_ok=True)
    assert site.get(name, "2") == (PICTURE, False)


def test_a_service_killed_in_a_download_serves_it_whole_afterwards(site: Site) -> None:
    site.mailbox.deliver([with_file(LARGE)])
    site.sync()
    name = site.names()[1]
    pieces = site.pieces(name, "2")
    for _ in range(100):
        next(pieces)
    assert list((site.cache / "tmp").iterdir())
    site.service.kill()
    with pytest.raises(grpc.RpcError):
        list(pieces)
    site.service.start()
    wait_for(lambda: site.names() or None, 30, "the service")
    assert site.get(name, "2") == (LARGE, False)
    wait_for(lambda: site.get(name, "2")[1] or None, 20, "the entry")
    assert not list((site.cache / "tmp").iterdir()), "what was half written is gone"


def test_the_metrics_tell_what_the_cache_does(site: Site) -> None:
    site.mailbox.deliver([with_file(PICTURE)])
    site.sync()
    name = site.names()[1]
    for _ in range(3):
        site.get(name, "2")
    shown = site.metrics()
    for line in (
        'mailsync_content_cache_requests_total{result="miss"} 1.0',
        'mailsync_content_cache_requests_total{result="hit"} 2.0',
        f'mailsync_content_bytes_total{{source="server"}} {float(len(mime.base64_lines(PICTURE)))}',
        "mailsync_content_cache_entries 1.0",
        'mailsync_content_not_cached_total{reason="disk_full"} 0.0',
    ):
        assert line in shown, line


def test_an_account_that_is_paused_still_reads_and_one_that_is_deleted_takes_its_content_along(
    site: Site,
) -> None:
    site.mailbox.deliver([with_file(PICTURE)])
    site.sync()
    name = site.names()[1]
    site.stubs.accounts.PauseAccount(account_service_pb2.PauseAccountRequest(name="accounts/work"))
    assert site.get(name, "2")[0] == PICTURE
    site.stubs.accounts.DeleteAccount(account_service_pb2.DeleteAccountRequest(name="accounts/work"))
    assert site.refused(name, "2") == "ACCOUNT_NOT_FOUND"
    assert not list(site.cache.glob("??/??/*"))
