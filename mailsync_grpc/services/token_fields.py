"""Access tokens between the API's message and the stored record: what may be asked for, and what is told."""

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from mailsync_grpc.model.access import (
    AccessToken,
    Reach,
    Scope,
    digest_of,
    new_secret,
)
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import ID_BYTES, account_name, encode_id
from mailsync_grpc.services import fields
from mailsync_grpc.services.account_fields import check_labels
from mailsync_grpc.store.codec.messages import timestamp
from mailsync_grpc.v1 import system_service_pb2 as pb

MAX_ACCOUNTS: Final = 1_000
_MAX_NAME: Final = 200

FindAccount = Callable[[str], Account]
"""Returns the account of an id. Raises AccountNotFoundError."""


class MadeToken(NamedTuple):
    """A token with its secret, which is nowhere else."""

    token: AccessToken
    secret: str


def make_token(message: pb.Token, find: FindAccount, now: int) -> MadeToken:
    """Return a new token as `message` asks for it; `now` is in milliseconds.

    Raises InvalidFieldError, AccountNotFoundError.
    """
    _check(message, now)
    accounts = tuple(find(fields.account_id(name, "token.accounts")).key for name in message.accounts)
    secret = new_secret(os.urandom)
    token = AccessToken(
        encode_id(os.urandom(ID_BYTES)),
        digest_of(secret),
        frozenset(Scope(scope) for scope in message.scopes),
        Reach(accounts or None, dict(message.account_labels)),
        message.display_name,
        create_time=now,
        expire_time=message.expire_time.ToMilliseconds() if message.HasField("expire_time") else 0,
    )
    return MadeToken(token, secret)


def _check(message: pb.Token, now: int) -> None:
    faults = fields.Violations()
    known = {int(scope) for scope in Scope}
    faults.unless(bool(message.scopes), "token.scopes", "at least one scope")
    faults.unless(known.issuperset(message.scopes), "token.scopes", "scopes other than UNSPECIFIED")
    limited = bool(message.accounts or message.account_labels)
    faults.unless(
        not (limited and pb.TOKEN_SCOPE_ADMIN in message.scopes),
        "token.scopes",
        "ADMIN only without accounts and account_labels, since it concerns the whole server",
    )
    right = len(message.display_name) <= _MAX_NAME and message.display_name.isprintable()
    faults.unless(right, "token.display_name", f"at most {_MAX_NAME} printable characters")
    faults.unless(len(message.accounts) <= MAX_ACCOUNTS, "token.accounts", f"at most {MAX_ACCOUNTS} accounts")
    check_labels(message.account_labels, "token.account_labels", faults)
    late = not message.HasField("expire_time") or message.expire_time.seconds * 1_000 > now
    faults.unless(late, "token.expire_time", "a time to come, or unset for never")
    faults.raise_any()


def token_message(token: AccessToken) -> pb.Token:
    """Return what is told of a token: everything but its secret, which is not known any more."""
    return pb.Token(
        name=token.name,
        display_name=token.display_name,
        scopes=[pb.TokenScope.ValueType(scope) for scope in sorted(token.scopes)],
        accounts=[account_name(key.id) for key in token.reach.accounts or ()],
        account_labels=token.reach.labels,
        create_time=timestamp(token.create_time),
        expire_time=timestamp(token.expire_time),
        last_used_time=timestamp(token.last_used),
    )
