"""Access tokens in the store of this machine, opened beside a running service as one of its workers opens it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mailsync_grpc.config import Config
from mailsync_grpc.errors import AccountNotFoundError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import account_name
from mailsync_grpc.services.access_tokens import find_token
from mailsync_grpc.services.token_fields import make_token, token_message
from mailsync_grpc.store.base import Store, TokenEdit
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.v1 import system_service_pb2 as pb


class LocalTokens:
    """Tokens of an open store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, token: pb.Token) -> pb.CreateTokenResponse:
        """Make a token. Raises InvalidFieldError, AccountNotFoundError."""
        made, secret = make_token(token, self._account, time.time_ns() // 1_000_000)
        self._store.access.edit(TokenEdit(put=(made,)))
        return pb.CreateTokenResponse(token=token_message(made), secret=secret)

    def _account(self, account_id: str) -> Account:
        account = self._store.account(account_id)
        if account is None:
            raise AccountNotFoundError(account_name(account_id))
        return account

    def list(self) -> Iterator[pb.Token]:
        """Yield every token, by name."""
        yield from map(token_message, self._store.access.table().tokens)

    def revoke(self, name: str) -> None:
        """Revoke a token. Raises InvalidFieldError, TokenNotFoundError."""
        token = find_token(self._store.access.table().tokens, name)
        self._store.access.edit(TokenEdit(drop=(token.id,)))


@contextmanager
def open_tokens(config: Config) -> Iterator[LocalTokens]:
    """The tokens of the data directory while the block runs; the store is made when there is none yet."""
    store = open_store(config.data_dir, exclusive=False, max_bytes=config.store.max_bytes)
    try:
        yield LocalTokens(store)
    finally:
        store.close()
