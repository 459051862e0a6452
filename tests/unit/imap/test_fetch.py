import re

from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.imap.fetch import MAX_UID, FlagListing, Window, parse_flags, parse_labelled, parse_window
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.uidset import UidSet

ALL = UidSet.span(1, MAX_UID)


def read(answer: bytes, asked: UidSet = ALL) -> dict[int, tuple[str, ...]]:
    listing = parse_flags(answer, asked)
    assert listing.uids == sorted(set(listing.uids))
    assert len(listing) == len(listing.hashes)
    return {
        uid: listing.table[number].names for uid, number in zip(listing.uids, listing.hashes, strict=True)
    }


def test_a_regular_answer_gives_each_uid_its_flags() -> None:
    answer = b"* 1 FETCH (UID 4 FLAGS (\\Seen))\r\n* 2 FETCH (UID 9 FLAGS ())\r\n"
    assert read(answer) == {4: ("\\Seen",), 9: ()}


def test_star_range_drops_the_last_message_when_its_uid_is_below_the_range() -> None:
    assert read(b"* 3 FETCH (UID 40 FLAGS ())\r\n", UidSet.span(50, MAX_UID)) == {}


def test_unsorted_uids_are_sorted_and_deduplicated_and_zero_is_refused() -> None:
    answer = (
        b"* 3 FETCH (UID 9 FLAGS ())\r\n* 1 FETCH (UID 4 FLAGS ())\r\n* 2 FETCH (UID 0 FLAGS ())\r\n"
        b"* 1 FETCH (UID 4 FLAGS (\\Seen))\r\n* 5 FETCH (UID 4294967296 FLAGS ())\r\n"
    )
    assert read(answer) == {4: ("\\Seen",), 9: ()}


def test_unsolicited_no_uid_is_no_data() -> None:
    answer = (
        b"* 1 FETCH (UID 4 FLAGS ())\r\n* 2 FETCH (FLAGS (\\Deleted))\r\n* 7 EXISTS\r\n* 2 EXPUNGE\r\n"
        b"* 2 FETCH (UID 9 FLAGS ())\r\n"
    )
    assert read(answer) == {4: (), 9: ()}


def test_numeric_keyword() -> None:
    assert read(b"* 1 FETCH (UID 4 FLAGS (123 NIL))\r\n") == {4: ("123", "NIL")}
    assert read(b"* 1 FETCH (MODSEQ (5) UID 4 FLAGS (123 NIL))\r\n") == {4: ("123", "NIL")}


def test_fetch_without_flags_says_that_the_message_is_there() -> None:
    answer = b"* 1 FETCH (UID 4)\r\n* 2 FETCH (UID 9 FLAGS (\\Seen))\r\n* 2 FETCH (UID 9 MODSEQ (7))\r\n"
    assert read(answer) == {4: (), 9: ("\\Seen",)}


def test_any_order_case_and_extra_attribute_is_understood() -> None:
    answer = (
        b"* 1 FETCH (FLAGS (\\Seen) UID 4)\r\n* 2 Fetch (uid 9 flags (a))\r\n"
        b"* 3 FETCH (UID 11 FLAGS (\\Flagged) MODSEQ (77))\r\n"
    )
    assert read(answer) == {4: ("\\Seen",), 9: ("a",), 11: ("\\Flagged",)}


def test_a_list_in_the_place_of_an_attributes_name_is_none_however_deep() -> None:
    deep = b"(" * 5_000 + b")" * 5_000
    assert labelled(b"* 1 FETCH (UID 4 X-GM-LABELS (a) " + deep + b" 1)\r\n") == {4: Flags.of([], ["a"])}
    assert read(b"* 1 FETCH (" + deep + b" 1 UID 4 FLAGS (a))\r\n") == {4: ("a",)}


def labelled(answer: bytes) -> dict[int, Flags]:
    listing = parse_labelled(answer, ALL)
    return {uid: listing.table[number] for uid, number in zip(listing.uids, listing.hashes, strict=True)}


def test_gmail_labels_are_flags_of_their_own_kind() -> None:
    answer = b'* 1 FETCH (X-GM-LABELS ("\\\\Inbox" work "&ZeVnLIqe-" {3}\r\na)b) UID 4 FLAGS (\\Seen))\r\n'
    assert labelled(answer) == {4: Flags.of(["\\Seen"], ["\\Inbox", "work", "日本語", "a)b"])}


def test_flags_told_unasked_say_nothing_of_labels() -> None:
    answer = (
        b"* 1 FETCH (UID 4 X-GM-LABELS (work) FLAGS ())\r\n* 1 FETCH (UID 4 FLAGS (\\Seen))\r\n"
        b"* 2 FETCH (UID 9 FLAGS (\\Seen))\r\n* 3 FETCH (X-GM-LABELS () UID 10 FLAGS (\\Draft))\r\n"
        b"* 3 FETCH (X-GM-LABELS (b a) UID 10)\r\n* 5 FETCH (FLAGS (\\Deleted))\r\n"
    )
    assert labelled(answer) == {4: Flags.of(["\\Seen"], ["work"]), 10: Flags.of(["\\Draft"], ["a", "b"])}


def test_invalid_utf8_in_a_keyword_is_text_afterwards() -> None:
    (names,) = read(b"* 1 FETCH (UID 4 FLAGS (caf\xe9))\r\n").values()
    assert names == ("café",)


def test_only_uids_of_the_asked_set_are_kept() -> None:
    answer = b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (uid, uid) for uid in range(1, 31))
    assert list(read(answer, UidSet.parse("2:4,9,28:40"))) == [2, 3, 4, 9, 28, 29, 30]


FLAG = st.sampled_from(["\\Seen", "\\Answered", "\\seen", "$Forwarded", "work", "123", "NIL"])
ROW = st.tuples(st.integers(0, 60), st.lists(FLAG, max_size=4), st.sampled_from(["uid", "flags", "modseq"]))
FORMS = {
    "uid": "* 1 FETCH (UID {uid} FLAGS ({flags}))\r\n",
    "flags": "* 1 FETCH (FLAGS ({flags}) UID {uid})\r\n",
    "modseq": "* 1 FETCH (UID {uid} MODSEQ (9) FLAGS ({flags}))\r\n",
}


def slow_reference(answer: bytes, asked: UidSet) -> FlagListing:
    """The same, one line at a time and obvious."""
    rows: dict[int, Flags] = {}
    for line in answer.decode().splitlines():
        uid, flags = re.search(r"UID (\d+)", line), re.search(r"FLAGS \((.*?)\)", line)
        if uid and flags and int(uid[1]) in asked:
            rows[int(uid[1])] = Flags.of(flags[1].split())
    uids = sorted(rows)
    return FlagListing(uids, [rows[uid].hash for uid in uids], {flags.hash: flags for flags in rows.values()})


@given(st.lists(ROW, unique_by=lambda row: row[0]), st.sets(st.integers(1, 60)))
def test_a_listing_equals_that_of_a_slow_reference(
    rows: list[tuple[int, list[str], str]], wanted: set[int]
) -> None:
    answer = "".join(FORMS[form].format(uid=uid, flags=" ".join(flags)) for uid, flags, form in rows).encode()
    asked = UidSet.of(wanted)
    fast, slow = parse_flags(answer, asked), slow_reference(answer, asked)
    assert (fast.uids, fast.hashes) == (slow.uids, slow.hashes)
    assert {number: fast.table[number].hash for number in fast.hashes} == {
        number: number for number in slow.hashes
    }


def test_a_window_is_given_octet_for_octet_and_only_of_the_asked_message() -> None:
    octets = bytes(range(256))
    response = b"* 2 FETCH (UID 4 BODY[1.2]<10> {256}\r\n" + octets + b")\r\n"
    assert parse_window(response, 4) == Window(10, octets)
    assert parse_window(response, 3) is None
    assert parse_window(b"* 1 FETCH (UID 4 FLAGS ())\r\n", 4) is None
    assert parse_window(b'* 2 FETCH (BODY[]<0> "abc" UID 4)\r\n', 4) == Window(0, b"abc")
    assert parse_window(b"* 2 FETCH (UID 4 BODY[7] NIL)\r\n", 4) == Window(None, b"")
