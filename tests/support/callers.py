"""Callers as tests make them: tokens in a store, and code run as one of them without a server."""

from collections.abc import Iterator
from contextlib import contextmanager

from mailsync_grpc.config import Config
from mailsync_grpc.model.access import EVERY_SCOPE, EVERYTHING, AccessToken, Reach, Scope, digest_of
from mailsync_grpc.model.ids import encode_id
from mailsync_grpc.services.callers import CALLER, Caller, Callers
from mailsync_grpc.store.base import Store, TokenEdit
from mailsync_grpc.store.memory import MemoryStore

Metadata = tuple[tuple[str, str], ...]


@contextmanager
def as_caller(name: str) -> Iterator[None]:
    """Run the block as a caller who may do everything."""
    before = CALLER.set(Caller(name, EVERY_SCOPE, EVERYTHING, Callers(MemoryStore(), Config())))
    try:
        yield
    finally:
        CALLER.reset(before)


def token_of(
    number: int,
    *scopes: Scope,
    reach: Reach = EVERYTHING,
    expire_time: int = 0,
) -> AccessToken:
    """A token, its secret `secret-{number}`; with every scope unless some are given."""
    token_id = encode_id(number.to_bytes(10, "big"))
    digest = digest_of(f"secret-{number}")
    return AccessToken(token_id, digest, frozenset(scopes) or EVERY_SCOPE, reach, expire_time=expire_time)


def bearing(number: int) -> Metadata:
    """What a caller with that token sends."""
    return (("authorization", f"Bearer secret-{number}"),)


def admit(store: Store, *tokens: AccessToken) -> None:
    """Store tokens."""
    store.access.edit(TokenEdit(put=tokens))
