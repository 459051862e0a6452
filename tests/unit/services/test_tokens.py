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
)
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.services.callers import OPERATOR
from mailsync_grpc.services.paging import PageTokens, page_size
from mailsync_grpc.services.tokens import Position, Reach, ResumeTokens
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
    assert TOKENS.open(token, Reach(filter_hash, None)) == position


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
        (None, {7}, True),
        (7, {7}, True),
        (7, set(), True),
        (7, {8}, False),
        (7, {7, 8}, False),
        (7, None, False),
    ],
)
def test_a_list_token_holds_for_what_was_listed(
    listed: int | None, watched: set[int] | None, holds: bool
) -> None:
    account = None if listed is None else AccountNo(listed)
    token = TOKENS.of_list(Position(Revision(5), 6), account)
    among = None if watched is None else frozenset(AccountNo(number) for number in watched)
    if holds:
        assert TOKENS.open(token, Reach(b"f" * 16, among)) == (5, 6)
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
