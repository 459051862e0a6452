"""Every error that crosses a layer.

The class says what went wrong, its message says what to do; `services/status.py` alone turns classes into gRPC
statuses. Messages reach callers, so none carries a secret, mail content or a server's raw answer beyond its first
human-readable line.
"""


class MailsyncError(Exception):
    """Root of the tree; never raised itself."""


class InvalidFieldError(MailsyncError):
    """A request names a field that cannot be served; `violations` maps each field's path to what is allowed."""

    def __init__(self, violations: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations.items()))
        self.violations = violations


class PageTokenInvalidError(MailsyncError):
    """The page token was not made by this server for this request; start again without one."""


class FilterMismatchError(MailsyncError):
    """The resume token belongs to another filter; watch with the filter it was made for, or from another start."""


class RequestIdReusedError(MailsyncError):
    """The request_id was used within 24 h for a different request; make a new UUID."""


class NotFoundError(MailsyncError):
    """Nothing of that name exists, or the caller may not know of it. Subclasses say what was looked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{self.what} not found: {name}")
        self.name = name

    what = "resource"


class AccountNotFoundError(NotFoundError):
    """No such account."""

    what = "account"


class FolderNotFoundError(NotFoundError):
    """No such folder in the account."""

    what = "folder"


class EnvelopeNotFoundError(NotFoundError):
    """No such envelope in the mirror."""

    what = "envelope"


class PartNotFoundError(NotFoundError):
    """The message has no such part."""

    what = "part"


class SyncRunNotFoundError(NotFoundError):
    """No such sync run."""

    what = "sync run"


class AccountExistsError(MailsyncError):
    """An account with this id exists; choose another id or update that account."""

    def __init__(self, name: str) -> None:
        super().__init__(f"account exists: {name}")
        self.name = name


class EtagMismatchError(MailsyncError):
    """The resource changed since it was read; read it again and repeat the edit."""


class UidValidityChangedError(MailsyncError):
    """The folder was renumbered by its server (RFC 3501 section 2.3.1.1); list it again."""


class AccountPausedError(MailsyncError):
    """The account is paused; resume it first."""


class ContentChangedError(MailsyncError):
    """The content is not what `if_match` names any more."""


class FolderNotSelectableError(MailsyncError):
    r"""The folder holds no messages (\Noselect or \NonExistent, RFC 9051 section 7.3.1)."""


class RevisionCompactedError(MailsyncError):
    """The asked revision is below the log's floor; read the state again and watch from there."""

    def __init__(self, floor: int, head: int) -> None:
        super().__init__(f"events up to revision {floor} are no longer kept (head is {head}); list, then watch again")
        self.floor = floor
        self.head = head


class RevisionInFutureError(MailsyncError):
    """The asked revision was never written; the store was rolled back or the token is another store's."""


class StoreEpochChangedError(MailsyncError):
    """The store was restored or rebuilt since the token was made; list, then watch again."""


class StoreFullError(MailsyncError):
    """The store reached its soft limit: writes stop, reads go on. Free disk space or raise the limit."""


class StoreCorruptError(MailsyncError):
    """The store cannot be read. The message says which file and what to do."""


class StoreLockedError(MailsyncError):
    """Another server holds the data directory; the message names its pid."""


class StoreSchemaError(MailsyncError):
    """The store was written by another version; the message says which and what to do."""


class QuotaExceededError(MailsyncError):
    """A limit of the caller or the server is reached; the message names it."""


class WatchLimitError(MailsyncError):
    """The server holds as many watch streams as it may; try again later."""


class SlowConsumerError(MailsyncError):
    """The stream's reader made no progress in time; resume by token."""


class ServerDrainingError(MailsyncError):
    """The server is stopping; connect again shortly."""


class UnauthenticatedError(MailsyncError):
    """The call carries no valid token; send `authorization: Bearer <token>`."""


class PermissionDeniedError(MailsyncError):
    """The token does not allow this call; the message names the scope it needs."""


class NotImplementedYetError(MailsyncError):
    """The call is part of the contract but not built yet; the message names what is missing."""


class ConfigError(MailsyncError):
    """A setting is wrong; the message names it and what is allowed."""


class ImapError(MailsyncError):
    """Root of what can go wrong toward a mail server; the connection is closed by the time it is raised."""


class ImapUnreachableError(ImapError):
    """The server cannot be reached or broke the connection; worth trying again later."""


class ImapTlsError(ImapUnreachableError):
    """TLS failed; the message carries the certificate's fault."""


class ImapAuthError(ImapError):
    """The server refused the credentials; not to be repeated before they change."""


class ImapThrottledError(ImapError):
    """The server asks for patience ([UNAVAILABLE], [LIMIT], [INUSE]; RFC 5530)."""


class ImapProtocolError(ImapError):
    """The server's answer breaks the protocol or a cap."""


class ImapRefusedError(ImapError):
    """The server answered NO or BAD to a well-formed command; the connection itself is sound."""


class EndpointForbiddenError(ImapError):
    """The host resolves to an address that is not allowed (imap.allow_networks), or clear text is not allowed."""


class UnsafeArgumentError(MailsyncError):
    """An argument holds CR, LF or NUL and was refused before the socket."""
