"""Pages and pieces under a filter: they end when they have looked for long enough, and nothing is passed over or told twice."""

import threading
from dataclasses import replace
from typing import Any

import grpc
import pytest

from mailsync_grpc.model.changes import EnvelopesRemoved, FolderReset
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services import envelope_scan, export
from mailsync_grpc.services.envelope_filter import Wanted
from mailsync_grpc.services.envelope_scan import SCAN_BUDGET
from mailsync_grpc.services.paging import MAX_PAGE_SIZE
from mailsync_grpc.store.base import Batch, Counter, Store
from mailsync_grpc.store.values import EnvelopePage, EnvelopeRow
from mailsync_grpc.v1 import envelope_pb2, event_service_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, reason
from tests.support.listing import exported, pages, uids
from tests.support.store import Mailbox, message_of
from tests.support.watching import head, watching


@pytest.fixture
def api(api_of_each_engine: Api) -> Api:
    """The API over an empty store of each engine."""
    return api_of_each_engine


async def test_list_under_a_filter_then_watch_misses_nothing(api: Api) -> None:
    box = Mailbox.make(api.store)
    asked = pb.ListEnvelopesRequest(
        parent=box.folder.name, filter=pb.EnvelopeFilter(subject_contains="message"), page_size=2
    )
    box.add(*(message_of(uid) for uid in range(10, 20)))
    page = await api.envelopes.ListEnvelopes(asked)
    token, held = page.resume_token, {each.uid for each in page.envelopes}
    box.add(message_of(30))
    api.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, UidSet.of([12, 19])),)))
    while page.next_page_token:
        asked.page_token = page.next_page_token
        page = await api.envelopes.ListEnvelopes(asked)
        held |= {each.uid for each in page.envelopes}
    only = event_service_pb2.EventFilter(accounts=[box.account.name])
    async with watching(api, resume_token=token, filter=only) as watcher:
        for event in await watcher.until(head(api)):
            held |= {event.envelope_added.envelope.uid} - {0}
            held -= {uid for each in event.envelopes_removed.uids for uid in range(each.first, each.last + 1)}
    assert held == {10, 11, *range(13, 19), 30}


async def test_a_token_goes_on_under_its_own_filter_only(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid) for uid in range(1, 4)))
    asked = pb.ListEnvelopesRequest(
        parent=box.folder.name, filter=pb.EnvelopeFilter(text="message"), page_size=1
    )
    asked.page_token = (await api.envelopes.ListEnvelopes(asked)).next_page_token
    asked.filter.text = "person"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.envelopes.ListEnvelopes(asked)
    assert reason(caught.value) == "PAGE_TOKEN_INVALID"


@pytest.fixture
def large(api: Api) -> Mailbox:
    """More than twice what one page may look at, with one hit near either end."""
    made = Mailbox.make(api.store, "large")
    last = 2 * SCAN_BUDGET.rows + 2_000
    for first in range(1, last, 2_000):
        made.backfill(
            *(
                message_of(uid, text="needle" if uid in {3, last - 3} else "")
                for uid in range(first, first + 2_000)
            )
        )
    return made


async def test_a_page_that_looked_long_enough_says_so_and_the_next_goes_on(api: Api, large: Mailbox) -> None:
    found = await pages(
        api, large.folder.name, filter=pb.EnvelopeFilter(subject_contains="NEEDLE"), page_size=10
    )
    assert uids(found) == [3, 2 * SCAN_BUDGET.rows + 1_997]
    assert len(found) > 2, "a page looks at no more than its budget"
    assert [page.scan_incomplete for page in found] == [True] * (len(found) - 1) + [False]
    assert all(page.next_page_token for page in found[:-1])
    assert any(not page.envelopes for page in found), "in the middle nothing passes"


@pytest.mark.parametrize("asking", [pages, exported])
async def test_rows_are_looked_at_beside_the_event_loop(
    api: Api, monkeypatch: pytest.MonkeyPatch, asking: Any
) -> None:
    box = Mailbox.make(api.store)
    box.add(message_of(1))
    threads: set[int] = set()
    passes = Wanted.passes

    def noting(self: Wanted, row: EnvelopeRow) -> bool:
        threads.add(threading.get_ident())
        return passes(self, row)

    monkeypatch.setattr(Wanted, "passes", noting)
    await asking(api, box.folder.name, filter=pb.EnvelopeFilter(text="message"))
    assert threads
    assert threading.get_ident() not in threads


async def test_a_page_that_is_full_is_not_incomplete(api: Api, large: Mailbox) -> None:
    asked = pb.ListEnvelopesRequest(
        parent=large.folder.name, filter=pb.EnvelopeFilter(subject_contains="message"), page_size=10
    )
    page = await api.envelopes.ListEnvelopes(asked)
    assert len(page.envelopes) == 10
    assert page.next_page_token
    assert not page.scan_incomplete


async def test_an_export_that_finds_nothing_for_long_says_how_far_it_is(api: Api, large: Mailbox) -> None:
    asked = pb.EnvelopeFilter(subject_contains="needle")
    whole = await exported(api, large.account.name, filter=asked)
    assert uids(whole) == [3, 2 * SCAN_BUDGET.rows + 1_997]
    empty = [index for index, piece in enumerate(whole) if piece.continue_token and not piece.envelopes]
    assert empty, "a stretch without a hit has its own tokens"
    assert whole[0].resume_token
    for index, piece in enumerate(whole[:-1], 1):
        rest = await exported(api, large.account.name, filter=asked, continue_token=piece.continue_token)
        assert uids(rest) == uids(whole[index:])


async def test_an_export_goes_on_behind_what_it_looked_at(
    api: Api, large: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pb.EnvelopeFilter(subject_contains="nothing has this")
    pieces = await exported(api, large.account.name, filter=asked)
    starts: list[int] = []
    read = envelope_scan.page_of

    def noting(core: Any, folder: Any, which: Any, after: int, *rest: Any, **options: Any) -> Any:
        starts.append(after)
        return read(core, folder, which, after, *rest, **options)

    monkeypatch.setattr(export, "page_of", noting)
    await exported(api, large.account.name, filter=asked, continue_token=pieces[-2].continue_token)
    assert min(starts) > MAX_PAGE_SIZE, "what was looked at is not looked at again"


async def test_what_stays_and_passes_is_listed_once_whatever_changes_meanwhile(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid, *(["\\Seen"] if uid % 2 else [])) for uid in range(1, 401)))
    seen, none = Flags.of(["\\Seen"]), Flags()
    asked = pb.ListEnvelopesRequest(
        parent=box.folder.name, filter=pb.EnvelopeFilter(flags_set=envelope_pb2.Flags(seen=True)), page_size=7
    )
    found: list[int] = []
    changed: set[int] = set()
    for step in range(1_000):
        page = await api.envelopes.ListEnvelopes(asked)
        found += [each.uid for each in page.envelopes]
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
        # Every tenth message changes as the list goes by: half lose the flag, half get it, some go, and new ones come.
        ahead, behind = 400 - step * 10, 1_000 + step
        if ahead > 20:
            box.flag(ahead - 1, seen, none)
            box.flag(ahead - 2, none, seen)
            removal = EnvelopesRemoved(box.folder.key, UidSet.of([ahead - 3, 400 - step]))
            held = {row.uid for row in box.rows()}
            gone = UidSet.of(uid for uid in removal.uids if uid in held)
            if gone:
                api.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, gone),)))
            changed |= {ahead - 1, ahead - 2, *gone}
        box.add(message_of(behind, "\\Seen"))
    assert len(found) == len(set(found))
    assert {uid for uid in range(1, 401) if uid % 2} - changed <= set(found)
    assert set(found) - changed <= {uid for uid in range(1, 401) if uid % 2}


@pytest.mark.parametrize("asked", [pb.EnvelopeFilter(text="message"), pb.EnvelopeFilter(text="nowhere")])
async def test_a_folder_renumbered_while_a_page_looks_is_not_taken_for_one_that_ends_there(
    api: Api, monkeypatch: pytest.MonkeyPatch, asked: pb.EnvelopeFilter
) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid) for uid in range(1, 601)))
    mirror = MirrorNo(api.store.allocate(Counter.MIRROR))
    renumbered = replace(box.folder, version=2, mirror=mirror, uid_validity=78)
    read = type(api.store).page

    def read_and_renumber(store: Store, *rest: Any) -> EnvelopePage:
        page = read(store, *rest)
        monkeypatch.undo()
        store.apply(Batch(box.account.key, (FolderReset(renumbered, box.folder.key),)))
        return page

    monkeypatch.setattr(type(api.store), "page", read_and_renumber)
    request = pb.ListEnvelopesRequest(parent=box.folder.name, filter=asked, page_size=1_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.envelopes.ListEnvelopes(request)
    assert reason(caught.value) == "UID_VALIDITY_CHANGED"
