"""Content through `mailsync serve` from a real Dovecot: what the mirror leaves out, and what goes wrong on disk."""

import shutil

import grpc
import pytest

from mailsync_grpc.cli.demo import mime
from mailsync_grpc.v1 import (
    account_pb2,
    account_service_pb2,
    system_service_pb2,
)
from tests.support.content_corpus import HEAD
from tests.support.content_site import LARGE, PICTURE, Site, with_file
from tests.support.mail import letters
from tests.support.service import wait_for

pytestmark = pytest.mark.timeout(300)


def with_picture() -> bytes:
    html = mime.part(b"text/html", b'<img src="cid:logo%2B1@here">', b"7bit")
    picture = mime.part(b"image/png", mime.base64_lines(PICTURE), b"base64", b"Content-ID: <logo+1@here>")
    return HEAD + mime.multipart("related", b"r", [html, picture])


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
