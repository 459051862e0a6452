"""Downloads leave the sync alone: polls go on while they run, and while their mail server lets them hang."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.v1 import system_service_pb2
from tests.support.content_site import LARGE, Site, with_file
from tests.support.hostile import HostileServer
from tests.support.hostile_faults import stalling
from tests.support.mail import letters
from tests.support.service import Service, Stubs, running, wait_for

pytestmark = pytest.mark.timeout(300)
PER_ACCOUNT = 3
"""Connections that content has for one account."""
SECTION_2 = rb"BODY\.PEEK\[2\]"


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


def test_downloads_that_hang_delay_no_poll(tmp_path: Path, hostile: HostileServer) -> None:
    """Every connection that content may have stands in the middle of an answer of which nothing more will come."""
    hostile.mailbox.deliver([with_file(LARGE[:1_000_000])] * 6)
    with (
        running(Service(tmp_path / "home")) as service,
        Stubs(service.address) as stubs,
        ThreadPoolExecutor(6) as pool,
    ):
        site = Site(service, stubs, hostile.mailbox)
        site.sync()
        names = site.names()
        hostile.always(SECTION_2, stalling)
        downloads = [pool.submit(site.get, names[uid], "2") for uid in range(1, 7)]
        wait_for(lambda: len(hostile.sent(SECTION_2)) >= PER_ACCOUNT or None, 20, "the downloads")
        for number in range(3):
            hostile.mailbox.deliver(letters(1))
            stubs.sync("work")
            assert max(site.names()) == 7 + number, "the poll that was asked for has seen the new message"
        assert not any(download.done() for download in downloads), "all of them hang still"
        assert len(hostile.sent(SECTION_2)) == PER_ACCOUNT, "and no connection beyond content's own was asked"
        service.kill()
        for download in downloads:
            with pytest.raises(grpc.RpcError):
                download.result()
