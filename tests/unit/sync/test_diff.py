"""Comparing packed blocks finds exactly what comparing two dictionaries finds."""

from hypothesis import given
from hypothesis import strategies as st

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
