"""What accounts a caller of limited rights may make, and how it may label them: none that it could not see itself."""

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
