"""A page under a filter: keyset paging over any folder, by any budget, and what a page reads at a time."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.config import Config
from mailsync_grpc.model.changes import EnvelopesRemoved
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.envelope_filter import Wanted, wanted
from mailsync_grpc.services.envelope_scan import SCAN_BUDGET, Budget, Page, Turns, page_of
from mailsync_grpc.services.paging import MAX_PAGE_BYTES, MAX_PAGE_SIZE
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import EnvelopePage
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from mailsync_grpc.vault import Vault
from tests.support.store import Mailbox, message_of

EVERY_ROW, FOREVER = 1 << 40, 1e9
SEEN = wanted(pb.EnvelopeFilter(flags_set=envelope_pb2.Flags(seen=True)))
NEVER = wanted(pb.EnvelopeFilter(subject_contains="nowhere"))
LAST_UID = 0xFFFFFFFF


@pytest.fixture(params=["memory", "lmdb"])
def core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Core]:
    """Services' ground over an empty store of each engine."""
    store: Store = (
        MemoryStore() if request.param == "memory" else open_store(tmp_path / "data", exclusive=True)
    )
    made = Core(store, Vault(bytes(32)), Config(data_dir=tmp_path))
    yield made
    made.close()
    store.close()


def walk(
    core: Core, folder: Folder, which: Wanted, size: int = MAX_PAGE_SIZE, **options: Any
) -> Iterator[Page]:
    """Yield pages to the end, each from where the one before said."""
    after: int | None = None
    asked: dict[str, Any] = {"newest_first": True, "budget": Budget(EVERY_ROW, FOREVER)}
    while True:
        page = page_of(core, folder, which, after, size, **asked | options)
        yield page
        if not page.more:
            return
        assert page.last != after, "a page that goes nowhere"
        after = page.last


def uids(pages: list[Page]) -> list[int]:
    return [row.uid for page in pages for row in page.rows]


ranges = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    min_size=1,
    max_size=4,
).map(lambda pairs: UidSet.parse(",".join(f"{low}:{high}" for low, high in pairs)))


@given(
    stored=st.dictionaries(st.integers(1, 70) | st.just(LAST_UID), st.booleans(), max_size=40),
    named=st.none() | ranges | st.just(UidSet.span(5, LAST_UID)),
    by_flag=st.booleans(),
    newest_first=st.booleans(),
    size=st.integers(1, 12),
    rows=st.integers(1, 30),
)
def test_pages_are_what_passes_once_and_in_order_by_any_budget(
    stored: dict[int, bool],
    named: UidSet | None,
    by_flag: bool,
    newest_first: bool,
    size: int,
    rows: int,
) -> None:
    core = Core(MemoryStore(), Vault(bytes(32)), Config())
    box = Mailbox.make(core.store)
    if stored:
        box.backfill(*(message_of(uid, *(["\\Seen"] if seen else [])) for uid, seen in stored.items()))
    which = SEEN._replace(uids=named) if by_flag else Wanted(named)
    pages = list(walk(core, box.folder, which, size, newest_first=newest_first, budget=Budget(rows, FOREVER)))
    expected = [
        uid for uid, seen in stored.items() if (named is None or uid in named) and (seen or not by_flag)
    ]
    assert uids(pages) == sorted(expected, reverse=newest_first)
    assert all(len(page.rows) <= size for page in pages)
    assert all(page.more or not page.incomplete for page in pages)
    core.close()


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_highest_uid_there_is_can_be_listed(core: Core, newest_first: bool) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid) for uid in (7, 8, LAST_UID)))
    which = Wanted(UidSet.span(8, LAST_UID))
    found = uids(list(walk(core, box.folder, which, 1, newest_first=newest_first)))
    assert found == ([LAST_UID, 8] if newest_first else [8, LAST_UID])


def test_a_page_without_a_hit_ends_with_its_budget_and_says_how_far_it_looked(core: Core) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid) for uid in range(1, 1_001)))
    first = page_of(
        core, box.folder, NEVER, None, 10, newest_first=True, budget=Budget(100, FOREVER), clock=lambda: 0.0
    )
    assert (first.rows, first.last, first.more, first.incomplete) == ([], 901, True, True)
    pages = list(walk(core, box.folder, NEVER, budget=Budget(100, FOREVER)))
    assert [page.last for page in pages] == list(range(901, 0, -100))
    assert [page.incomplete for page in pages] == [True] * 9 + [False]


def test_a_page_ends_when_its_time_is_used_up(core: Core) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid) for uid in range(1, 1_001)))
    ticks = count()
    page = page_of(
        core,
        box.folder,
        NEVER,
        None,
        10,
        newest_first=False,
        budget=Budget(EVERY_ROW, 2.0),
        clock=lambda: next(ticks),
    )
    assert (page.last, page.incomplete) == (512, True), "two looks of 256 rows, a second each"


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_page_that_had_no_time_passes_a_range_without_rows_all_the_same(
    core: Core, newest_first: bool
) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid, "\\Seen") for uid in (1, 40, 90)))
    which = SEEN._replace(uids=UidSet.of([10, 20, 30, 40, 50, 60]))
    pages = list(walk(core, box.folder, which, newest_first=newest_first, budget=Budget(EVERY_ROW, 0.0)))
    assert [page.last for page in pages] == sorted([10, 20, 30, 40, 50, 60], reverse=newest_first)
    assert uids(pages) == [40]


def test_a_page_that_is_full_is_not_incomplete(core: Core) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid, *(["\\Seen"] if uid > 990 else [])) for uid in range(1, 1_001)))
    pages = list(walk(core, box.folder, SEEN, 5, budget=Budget(300, FOREVER)))
    assert [len(page.rows) for page in pages] == [5, 5, 0, 0]
    assert [page.incomplete for page in pages] == [False, False, True, False]


def test_a_page_ends_at_a_mebibyte(core: Core) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid, "\\Seen", text="x" * 100_000) for uid in range(1, 31)))
    pages = list(walk(core, box.folder, SEEN))
    assert uids(pages) == list(range(30, 0, -1))
    assert all(sum(row.octets for row in page.rows) <= MAX_PAGE_BYTES for page in pages)
    assert not any(page.incomplete for page in pages)


def test_one_envelope_larger_than_a_page_is_listed_by_itself(core: Core) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid, "\\Seen", text="x" * MAX_PAGE_BYTES) for uid in (1, 2)))
    assert [len(page.rows) for page in walk(core, box.folder, SEEN)] == [1, 1]


def test_what_comes_and_goes_meanwhile_neither_hides_nor_doubles_what_stays(core: Core) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid, *(["\\Seen"] if uid % 3 else [])) for uid in range(10, 510)))
    stays = {uid for uid in range(10, 510) if uid % 3 and uid % 7}
    found: list[int] = []
    for newest, page in enumerate(walk(core, box.folder, SEEN, 9, budget=Budget(20, FOREVER)), 1_000):
        found += [row.uid for row in page.rows]
        box.add(message_of(newest, "\\Seen"))
        # What was looked at last goes, and the one that would have been looked at next.
        for uid in {page.last or 0, (page.last or 1) - 1} - stays:
            core.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, UidSet.of([uid])),)))
    assert len(found) == len(set(found))
    assert stays <= set(found)
    assert found == sorted(found, reverse=True)


def test_a_page_says_the_revision_from_before_it_looked(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid, "\\Seen") for uid in range(1, 601)))
    before, read = core.head(), type(core.store).page

    def read_and_change(store: Store, *asked: Any) -> EnvelopePage:
        page: EnvelopePage = read(store, *asked)
        box.add(message_of(1_000 + core.head()))
        return page

    monkeypatch.setattr(type(core.store), "page", read_and_change)
    page = page_of(core, box.folder, SEEN, None, 1_000, newest_first=True, budget=Budget(EVERY_ROW, FOREVER))
    assert len(page.rows) == 600
    assert page.read_revision == before < core.head()


@dataclass(slots=True)
class Asked:
    """What was asked of a store: the limits of its pages."""

    limits: list[tuple[int, int]] = field(default_factory=list)


def test_no_read_of_the_store_is_longer_than_a_page(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Mailbox.make(core.store)
    box.backfill(*(message_of(uid) for uid in range(1, 3_001)))
    asked, read = Asked(), type(core.store).page

    def noting(
        store: Store, folder: Folder, after: int | None, limit: int, octets: int, newest: bool
    ) -> EnvelopePage:
        asked.limits.append((limit, octets))
        return read(store, folder, after, limit, octets, newest)

    monkeypatch.setattr(type(core.store), "page", noting)
    list(walk(core, box.folder, NEVER, budget=SCAN_BUDGET._replace(seconds=FOREVER)))
    assert len(asked.limits) > 3
    assert all(limit <= MAX_PAGE_SIZE and octets <= MAX_PAGE_BYTES for limit, octets in asked.limits)


def test_a_folder_of_an_old_numbering_has_nothing(core: Core) -> None:
    box = Mailbox.make(core.store)
    box.backfill(message_of(1, "\\Seen"))
    former = replace(box.folder, mirror=MirrorNo(box.folder.mirror + 1))
    (page,) = walk(core, former, SEEN)
    assert (page.rows, page.more) == ([], False)


async def test_two_pages_are_looked_for_at_a_time_and_lists_without_a_look_do_not_wait() -> None:
    turns, looking, most = Turns(), 0, 0

    async def look() -> None:
        nonlocal looking, most
        async with turns.of(NEVER):
            looking += 1
            most = max(most, looking)
            async with turns.of(Wanted()), turns.of(Wanted(UidSet.span(1, 9))):
                await asyncio.sleep(0)
            looking -= 1

    await asyncio.gather(*(look() for _ in range(6)))
    assert most == 2
