"""Comparing packed blocks finds exactly what comparing two dictionaries finds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.folder import FolderProgress
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import flagblocks
from mailsync_grpc.store.values import BLOCK_SHIFT, FlagBlock
from mailsync_grpc.sync import diff

states = st.dictionaries(st.integers(1, 400), st.integers(0, 3), max_size=60)


def blocks(state: dict[int, int], low: int = 1) -> list[FlagBlock]:
    packed = flagblocks.pack(sorted(state), [state[uid] for uid in sorted(state)])
    return [FlagBlock(number, packed[number]) for number in sorted(packed) if number >= low >> BLOCK_SHIFT]


@given(states, states, st.integers(1, 420))
def test_finds_what_a_plain_comparison_finds(
    stored: dict[int, int], server: dict[int, int], low: int
) -> None:
    answered = {uid: value for uid, value in server.items() if uid >= low}
    uids = sorted(answered)
    found = diff.compare(uids, [answered[uid] for uid in uids], blocks(stored, low), low)
    assert list(found.unknown) == [uid for uid in uids if uid not in stored]
    assert list(found.missing) == sorted(uid for uid in stored if uid >= low and uid not in answered)
    assert sorted(found.changed) == [
        (uid, stored[uid], answered[uid]) for uid in uids if uid in stored and stored[uid] != answered[uid]
    ]


def test_stored_messages_below_the_look_are_not_judged() -> None:
    found = diff.compare([130], [1], blocks({128: 1, 129: 1, 130: 1}, 130), 130)
    assert found == diff.FlagDiff()


@given(states, states)
def test_a_listing_of_changes_proves_nothing_missing(stored: dict[int, int], listed: dict[int, int]) -> None:
    uids = sorted(listed)
    wanted = diff.blocks_of(UidSet.of(uids))
    held = [block for block in blocks(stored) if any(first <= block.number <= last for first, last in wanted)]
    found = diff.compare(uids, [listed[uid] for uid in uids], held, diff.NOT_JUDGED)
    assert found.missing == UidSet()
    assert list(found.unknown) == [uid for uid in uids if uid not in stored]
    assert {uid for uid, _, _ in found.changed} == {
        uid for uid in uids if uid in stored and stored[uid] != listed[uid]
    }


@given(states, st.sets(st.integers(1, 400)))
def test_a_list_of_uids_shows_what_is_unknown_and_what_is_missing(
    stored: dict[int, int], present: set[int]
) -> None:
    found = diff.compare_uids(UidSet.of(present), blocks(stored))
    assert found == diff.FlagDiff(tuple(sorted(present - stored.keys())), UidSet.of(stored.keys() - present))
    assert diff.among(UidSet.of(present), blocks(stored)) == UidSet.of(present & stored.keys())


@given(st.sets(st.integers(1, 1 << 32), max_size=30))
def test_the_blocks_of_uids_hold_them_in_runs_apart(uids: set[int]) -> None:
    runs = diff.blocks_of(UidSet.of(uids))
    assert all(any(first <= uid >> BLOCK_SHIFT <= last for first, last in runs) for uid in uids)
    assert all(before[1] < after[0] for before, after in pairwise(runs))
    assert diff.blocks_of(UidSet.span(1, 1 << 32)) == [(0, 1 << 25)]


def test_what_is_accounted_for_elsewhere_is_neither_unknown_nor_missing_again() -> None:
    progress = FolderProgress(pending=UidSet.span(5, 6), leaving=UidSet.span(1, 2))
    found = diff.FlagDiff(unknown=(5, 7, 8, 9), missing=UidSet.span(1, 3))
    assert diff.unsettled(found, progress, outside=UidSet.span(8, 8)) == diff.FlagDiff(
        unknown=(7, 9), missing=UidSet.span(3, 3)
    )
