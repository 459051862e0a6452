"""What accounts a caller of limited rights may make, how it may label them, and what it may log in with.

It makes none that it could not see itself, and names no secret of the operator's, among which are those of others.
"""

from mailsync_grpc.errors import InvalidFieldError, PermissionDeniedError
from mailsync_grpc.services.account_fields import AccountDraft
from mailsync_grpc.services.callers import current


def require_within_reach(draft: AccountDraft, account_id: str) -> None:
    """Refuse an account that its maker could not see, and an id by which it would learn of accounts it cannot see.

    Raises PermissionDeniedError, InvalidFieldError.
    """
    reach = current().reach
    if reach.accounts is not None:
        raise PermissionDeniedError("this token is limited to accounts that exist; it cannot create others")
    require_labels(draft)
    if reach.is_limited and account_id:
        raise InvalidFieldError(
            {"account_id": "empty: a token limited by labels leaves the id to the server"}
        )


def require_labels(draft: AccountDraft) -> None:
    """Refuse labels under which the caller could not see the account. Raises InvalidFieldError."""
    reach = current().reach
    if not reach.bears(draft.labels):
        labels = ", ".join(f"{key}={value}" for key, value in sorted(reach.labels.items()))
        raise InvalidFieldError({"account.labels": f"{labels}, which this token is limited to"})


def require_secrets() -> None:
    """Refuse the operator's secrets to callers of some accounts, whichever is named. Raises InvalidFieldError."""
    if current().reach.is_limited:
        raise InvalidFieldError(
            {"account.auth": "credentials of its own: a token limited to accounts names no secret_ref"}
        )
