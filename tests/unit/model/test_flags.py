r"""The flag hash is stable across what means nothing and differs across what means something."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.flags import FLAG_HASH_VERSION, SYSTEM_FLAGS, Flags

names = st.sampled_from([*SYSTEM_FLAGS, "Seen", "$Forwarded", "123", "NIL", "\\Custom", "Ärger", "\\Recent"])
flag_lists = st.lists(names, max_size=8)


@given(flag_lists, st.randoms(use_true_random=False))
def test_flaghash_properties(flags: list[str], random: Random) -> None:
    shuffled = [name.swapcase() for name in flags] + ["\\RECENT"]
    random.shuffle(shuffled)
    assert Flags.of(shuffled).hash == Flags.of(flags).hash


@given(flag_lists, flag_lists)
def test_different_sets_have_different_hashes(left: list[str], right: list[str]) -> None:
    def meaning(flags: list[str]) -> set[str]:
        return {name.casefold() for name in flags} - {"\\recent"}

    assert (Flags.of(left).hash == Flags.of(right).hash) == (meaning(left) == meaning(right))


def test_a_keyword_named_seen_is_not_the_system_flag() -> None:
    assert Flags.of(["Seen"]).hash != Flags.of(["\\Seen"]).hash
    assert Flags.of(["Seen"]).keywords == ("Seen",)


def test_labels_are_not_flags() -> None:
    assert Flags.of(["work"]).hash != Flags.of([], labels=["work"]).hash


def test_the_recipe_is_pinned_because_hashes_are_stored() -> None:
    assert FLAG_HASH_VERSION == 1
    assert Flags().hash == 0x2D06800538D394C2
    assert Flags.of(["\\Seen", "$Junk"]).hash == Flags.of(["$JUNK", "\\seen", "\\Recent"]).hash


def test_system_flags_are_spelled_canonically_and_duplicates_go() -> None:
    assert Flags.of(["\\SEEN", "\\seen", "Work", "work"]).names == ("\\Seen", "Work")


def test_minus_compares_without_regard_to_case() -> None:
    assert Flags.of(["\\Seen", "Work"]).minus(Flags.of(["WORK"])) == Flags.of(["\\Seen"])
