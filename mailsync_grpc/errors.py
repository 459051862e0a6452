"""Every error that crosses a layer.

The class says what went wrong, its message says what to do; `services/status.py` alone turns classes into gRPC
statuses. Messages reach callers, so none carries a secret, mail content or a server's raw answer beyond its first
human-readable line. `reason` is the name in the contract's enum `ErrorReason` without its prefix.
"""

import traceback
from typing import ClassVar


class MailsyncError(Exception):
    """Root of the tree; itself a fault of ours in another process, of which that one's log has the cause."""

    reason: ClassVar[str] = "INTERNAL"


class InvalidFieldError(MailsyncError):
    """A request names a field that cannot be served; `violations` maps each field's path to what is allowed."""

    reason = "INVALID_FIELD"

    def __init__(self, violations: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations.items()))
        self.violations = violations


class ResumeTokenInvalidError(MailsyncError):
    """The resume token was not made by this server; list, then watch from a new token."""

    reason = "RESUME_TOKEN_INVALID"


class PageTokenInvalidError(MailsyncError):
    """The page token was not made by this server for this request; start again without one."""

    reason = "PAGE_TOKEN_INVALID"


class FilterMismatchError(MailsyncError):
    """The resume token belongs to another filter; watch with the filter it was made for, or from another start."""

    reason = "FILTER_MISMATCH"


class VisibleChangedError(FilterMismatchError):
    """What the caller may see changed since the token was made, and by how much is not known; list again."""


class RequestIdReusedError(MailsyncError):
    """The request_id was used within 24 h for a different request; make a new UUID."""

    reason = "REQUEST_ID_REUSED"


class NotFoundError(MailsyncError):
    """Nothing of that name exists, or the caller may not know of it. Subclasses say what was looked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{self.what} not found: {name}")
        self.name = name

    what = "resource"


class AccountNotFoundError(NotFoundError):
    """No such account."""

    reason = "ACCOUNT_NOT_FOUND"

    what = "account"


class FolderNotFoundError(NotFoundError):
    """No such folder in the account."""

    reason = "FOLDER_NOT_FOUND"

    what = "folder"


class EnvelopeNotFoundError(NotFoundError):
    """No such envelope in the mirror."""

    reason = "ENVELOPE_NOT_FOUND"

    what = "envelope"


class PartNotFoundError(NotFoundError):
    """The message has no such part."""

    reason = "PART_NOT_FOUND"

    what = "part"


class SyncRunNotFoundError(NotFoundError):
    """No such sync run."""

    reason = "SYNC_RUN_NOT_FOUND"

    what = "sync run"


class AuthorizationNotFoundError(MailsyncError):
    """No such authorization is on its way; it was used, has expired, or its account is gone. Begin another."""

    reason = "AUTHORIZATION_NOT_FOUND"


class TokenNotFoundError(NotFoundError):
    """No such access token."""

    reason = "TOKEN_NOT_FOUND"

    what = "token"


class AccountExistsError(MailsyncError):
    """An account with this id exists; choose another id or update that account."""

    reason = "ACCOUNT_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"account exists: {name}")
        self.name = name


class EtagMismatchError(MailsyncError):
    """The resource changed since it was read; read it again and repeat the edit."""

    reason = "ETAG_MISMATCH"


class ModseqConflictError(MailsyncError):
    """The message was changed on the server since the mod-sequence given; read it again and decide anew."""

    reason = "MODSEQ_CONFLICT"


class RequestInProgressError(MailsyncError):
    """A call with the same request_id is still at work; repeat this one to have its answer."""

    reason = "REQUEST_IN_PROGRESS"


class OutcomeUnknownError(MailsyncError):
    """The connection broke where it cannot be known whether the server made the change; look before you repeat it."""

    reason = "OUTCOME_UNKNOWN"


class FolderExistsError(MailsyncError):
    """The mail server has a folder of this name."""

    reason = "FOLDER_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"folder exists: {name}")
        self.name = name


class UidValidityChangedError(MailsyncError):
    """The folder was renumbered by its server (RFC 3501 section 2.3.1.1); list it again."""

    reason = "UID_VALIDITY_CHANGED"


class CredentialsNeededError(MailsyncError):
    """The account's stored credentials cannot be decrypted, or there are none; set them by UpdateAccount."""

    reason = "CREDENTIALS_NEEDED"


class AccountPausedError(MailsyncError):
    """The account is paused; resume it first."""

    reason = "ACCOUNT_PAUSED"


class ContentChangedError(MailsyncError):
    """The content is not what `if_match` names any more."""

    reason = "CONTENT_CHANGED"


class FolderNotSelectableError(MailsyncError):
    r"""The folder holds no messages (\Noselect or \NonExistent, RFC 9051 section 7.3.1)."""

    reason = "FOLDER_NOT_SELECTABLE"


class RevisionCompactedError(MailsyncError):
    """The asked revision is below the log's floor; read the state again and watch from there."""

    reason = "REVISION_COMPACTED"

    def __init__(self, floor: int, head: int) -> None:
        super().__init__(
            f"events up to revision {floor} are no longer kept (head is {head}); list, then watch again"
        )
        self.floor = floor
        self.head = head


class RevisionInFutureError(MailsyncError):
    """The asked revision was never written; the store was rolled back or the token is another store's."""

    reason = "REVISION_IN_FUTURE"


class StoreEpochChangedError(MailsyncError):
    """The store was restored or rebuilt since the token was made; list, then watch again."""

    reason = "STORE_EPOCH_CHANGED"


class StoreFullError(MailsyncError):
    """The store reached its soft limit: writes stop, reads go on. Free disk space or raise the limit."""

    reason = "STORE_FULL"


class StoreCorruptError(MailsyncError):
    """The store cannot be read. The message says which file and what to do."""

    reason = "STORE_CORRUPT"


class StoreLockedError(MailsyncError):
    """Another server holds the data directory; the message names its pid."""


class StoreSchemaError(MailsyncError):
    """The store was written by another version; the message says which and what to do."""


class QuotaExceededError(MailsyncError):
    """A limit of the caller or the server is reached; the message names it."""

    reason = "QUOTA"


class RateExceededError(QuotaExceededError):
    """The caller makes more calls than it may; ask again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BudgetSpentError(QuotaExceededError):
    """What a mail server puts up with is used up for now: nothing is wrong, ask again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConnectionsSpentError(BudgetSpentError):
    """As many connections as a mail server puts up with are open."""


class WatchLimitError(MailsyncError):
    """The server holds as many watch streams as it may; try again later."""

    reason = "WATCH_LIMIT"


class SnapshotLimitError(MailsyncError):
    """The server reads as many snapshots and exports as it may; try again later."""

    reason = "SNAPSHOT_LIMIT"


class SlowConsumerError(MailsyncError):
    """The stream's reader made no progress in time; resume by token."""

    reason = "SLOW_CONSUMER"


class ServerDrainingError(MailsyncError):
    """The server is stopping; connect again shortly."""

    reason = "SERVER_DRAINING"


class UnauthenticatedError(MailsyncError):
    """The call carries no valid token; send `authorization: Bearer <token>`."""

    reason = "TOKEN_INVALID"


class PermissionDeniedError(MailsyncError):
    """The token does not allow this call; the message names the scope it needs."""

    reason = "SCOPE_MISSING"


class NotImplementedYetError(MailsyncError):
    """The call is part of the contract but not built yet; the message names what is missing."""

    reason = "NOT_IMPLEMENTED"


class ConfigError(MailsyncError):
    """A setting is wrong; the message names it and what is allowed."""


class ImapError(MailsyncError):
    """Root of what can go wrong toward a mail server; the connection is closed by the time it is raised."""


class ImapUnreachableError(ImapError):
    """The server cannot be reached or broke the connection; worth trying again later."""

    reason = "IMAP_UNREACHABLE"


class ImapExpiredError(ImapUnreachableError):
    """The server ended a session because its login expired ([EXPIRED], RFC 5530); a new one is worth trying at once."""


class ImapTlsError(ImapUnreachableError):
    """TLS failed; the message carries the certificate's fault."""

    reason = "IMAP_TLS_FAILED"


class ImapAuthError(ImapError):
    """The server refused the credentials; not to be repeated before they change."""

    reason = "IMAP_AUTH_FAILED"


class ImapThrottledError(ImapError):
    """The server asks for patience ([UNAVAILABLE], [LIMIT], [INUSE]; RFC 5530)."""

    reason = "IMAP_UNREACHABLE"


class ImapProtocolError(ImapError):
    """The server's answer breaks the protocol or a cap."""

    reason = "IMAP_PROTOCOL"


class ImapRefusedError(ImapError):
    """The server answered NO or BAD to a well-formed command; the connection itself is sound.

    `code` is the response code it gave (RFC 5530), empty without one.
    """

    reason = "IMAP_REFUSED"

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class EndpointForbiddenError(ImapError):
    """The host resolves to an address that is not allowed (imap.allow_networks), or clear text is not allowed."""

    reason = "INVALID_FIELD"


class ProxyForbiddenError(EndpointForbiddenError):
    """The account's proxy resolves to an address that is not allowed (imap.allow_networks)."""


class UnsafeArgumentError(MailsyncError):
    """An argument holds CR, LF or NUL and was refused before the socket."""

    reason = "INVALID_FIELD"


def places(error: BaseException) -> list[str]:
    """Return where an error passed, innermost last, without its text, which may hold what must not reach a log."""
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
