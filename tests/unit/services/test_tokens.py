"""Resume and page tokens: what was sealed comes back, under its filter or request alone, and nothing else does."""

import base64
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailsync_grpc.errors import (
    FilterMismatchError,
    InvalidFieldError,
    PageTokenInvalidError,
    ResumeTokenInvalidError,
    StoreEpochChangedError,
    VisibleChangedError,
)
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.services.callers import OPERATOR
from mailsync_grpc.services.paging import PageTokens, page_size
from mailsync_grpc.services.scan import Place
from mailsync_grpc.services.tokens import Position, Reach, ResumeTokens, pack_members, unpack_members
from mailsync_grpc.v1.account_service_pb2 import ListAccountsRequest
from mailsync_grpc.vault import Vault
from tests.support.callers import as_caller

VAULT = Vault(bytes(range(32)))
TOKENS = ResumeTokens(VAULT, b"e" * 16)
PAGES = PageTokens(VAULT)


@pytest.fixture(autouse=True, scope="module")
def caller() -> Iterator[None]:
    """A page token is its caller's, so there is one."""
    with as_caller(OPERATOR):
        yield


numbers = st.integers(0, 2**64 - 1)
hashes = st.binary(min_size=16, max_size=16)


@given(revision=numbers, check=numbers, filter_hash=hashes)
def test_a_watch_token_gives_back_its_position(revision: int, check: int, filter_hash: bytes) -> None:
    position = Position(Revision(revision), check)
    token = TOKENS.of_watch(position, filter_hash)
    assert TOKENS.open(token, Reach(filter_hash, None)) == (position, None, b"")


@given(filter_hash=hashes, other=hashes)
def test_a_watch_token_is_refused_under_another_filter(filter_hash: bytes, other: bytes) -> None:
    assume(filter_hash != other)
    token = TOKENS.of_watch(Position(Revision(1), 2), filter_hash)
    with pytest.raises(FilterMismatchError):
        TOKENS.open(token, Reach(other, None))


@given(data=st.data(), revision=numbers, filter_hash=hashes)
def test_no_changed_octet_goes_unnoticed(data: st.DataObject, revision: int, filter_hash: bytes) -> None:
    token = TOKENS.of_watch(Position(Revision(revision), 0), filter_hash)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ResumeTokenInvalidError):
        TOKENS.open(base64.urlsafe_b64encode(raw).decode(), Reach(filter_hash, None))


@given(st.text(max_size=120))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ResumeTokenInvalidError):
        TOKENS.open(text, Reach(bytes(16), None))


def test_a_token_of_another_store_says_so_and_one_of_another_key_is_invalid() -> None:
    position = Position(Revision(1), 0)
    token = ResumeTokens(VAULT, b"f" * 16).of_watch(position, bytes(16))
    with pytest.raises(StoreEpochChangedError):
        TOKENS.open(token, Reach(bytes(16), None))
    token = ResumeTokens(Vault(bytes(32)), b"e" * 16).of_watch(position, bytes(16))
    with pytest.raises(ResumeTokenInvalidError):
        TOKENS.open(token, Reach(bytes(16), None))


@pytest.mark.parametrize(
    ("listed", "watched", "holds"),
    [
        (None, None, True),
        (None, {"a"}, True),
        ("a", {"a"}, True),
        ("a", set(), True),
        ("a", {"b"}, False),
        ("a", {"a", "b"}, False),
        ("a", None, False),
    ],
)
def test_a_list_token_holds_for_what_was_listed(
    listed: str | None, watched: set[str] | None, holds: bool
) -> None:
    token = TOKENS.of_list(Position(Revision(5), 6), listed)
    among = None if watched is None else frozenset(watched)
    if holds:
        assert TOKENS.open(token, Reach(b"f" * 16, among)) == ((5, 6), None, b"")
    else:
        with pytest.raises(FilterMismatchError):
            TOKENS.open(token, Reach(b"f" * 16, among))


@given(key=st.binary(max_size=40), size=st.integers(0, 1_000))
def test_a_page_token_gives_back_its_key_whatever_the_page_size(key: bytes, size: int) -> None:
    token = PAGES.seal(ListAccountsRequest(labels={"a": "b"}), key)
    asked = ListAccountsRequest(labels={"a": "b"}, page_size=size, page_token=token)
    assert PAGES.open(asked, token) == key


def test_a_page_token_is_refused_for_another_request() -> None:
    token = PAGES.seal(ListAccountsRequest(labels={"a": "b"}), b"key")
    for other in (ListAccountsRequest(), ListAccountsRequest(labels={"a": "c"})):
        with pytest.raises(PageTokenInvalidError):
            PAGES.open(other, token)


def test_a_page_token_is_refused_for_another_caller() -> None:
    request = ListAccountsRequest()
    token = PAGES.seal(request, b"key")
    with as_caller("tokens/other"), pytest.raises(PageTokenInvalidError):
        PAGES.open(request, token)


@given(st.text(min_size=1, max_size=80))
def test_any_other_text_is_no_page_token(text: str) -> None:
    with pytest.raises(PageTokenInvalidError):
        PAGES.open(ListAccountsRequest(), text)


def test_page_sizes_are_coerced_and_never_negative() -> None:
    assert [page_size(asked) for asked in (0, 1, 1_000, 100_000)] == [100, 1, 1_000, 1_000]
    with pytest.raises(InvalidFieldError):
        page_size(-1)


places = st.builds(
    Place,
    st.from_regex(r"[a-z0-9-]{0,63}", fullmatch=True),
    *[st.integers(0, 2**32 - 1)] * 5,
    st.integers(0, 2**64 - 1),
)
members = st.none() | st.frozensets(st.integers(1, 2**32 - 1).map(AccountNo), max_size=40)


@given(place=places, shown=members)
def test_a_token_within_a_snapshot_gives_back_its_place_and_the_accounts_shown(
    place: Place, shown: frozenset[AccountNo] | None
) -> None:
    token = TOKENS.of_watch(Position(Revision(9), 8), b"f" * 16, pack_members(shown), place)
    resumed = TOKENS.open(token, Reach(b"f" * 16, None))
    assert resumed.place == place
    assert unpack_members(resumed.members) == shown


def test_more_accounts_than_a_token_holds_are_held_by_their_hash() -> None:
    many = frozenset(AccountNo(number) for number in range(1, 3_000, 2))
    packed = pack_members(many)
    assert len(TOKENS.of_watch(Position(Revision(1), 1), bytes(16), packed)) < 4_096
    assert packed == pack_members(frozenset(many)) != pack_members(many - {AccountNo(1)})
    with pytest.raises(VisibleChangedError):
        unpack_members(packed)


def test_a_token_of_nearly_too_many_accounts_is_short_enough() -> None:
    numbers = frozenset(AccountNo(number) for number in range(4_000_000_000, 4_000_000_278, 2))
    assert unpack_members(pack_members(numbers)) == numbers
    place = Place.unpack(b"\xff" * 28 + b"a" * 63)
    assert len(TOKENS.of_watch(Position(Revision(1), 1), bytes(16), pack_members(numbers), place)) < 4_096
