"""Trying an account's mail server: log in, list folders, log out; nothing is kept and nothing is changed there."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mailsync_grpc.config import ImapConfig
from mailsync_grpc.errors import (
    EndpointForbiddenError,
    InvalidFieldError,
    ProxyForbiddenError,
    UnsafeArgumentError,
)
from mailsync_grpc.imap.auth import Credentials
from mailsync_grpc.imap.budget import Use
from mailsync_grpc.imap.connecting import leased, policy_of
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.endpoint import Endpoint
from mailsync_grpc.imap.ledger import Ledger
from mailsync_grpc.sync.naming import Naming, known_as


@dataclass(frozen=True, slots=True)
class Greeted:
    """What a login showed: capabilities in upper case, sorted, and the folders as listed and as users know them."""

    capabilities: tuple[str, ...]
    folders: tuple[Naming, ...] = field(repr=False)


TryLogin = Callable[[Endpoint, Credentials], Greeted]
"""Logs in and lists folders. Raises InvalidFieldError for what may not be connected to, BudgetSpentError, and any ImapError."""


def try_login(config: ImapConfig, books: Ledger) -> TryLogin:
    """Return the function that tries logins under the operator's rules and budgets; it blocks."""

    def attempt(endpoint: Endpoint, credentials: Credentials) -> Greeted:
        try:
            with (
                leased(books, endpoint.host, credentials.username, Use.CONTENT) as lease,
                connect(endpoint, policy_of(config), credentials, lease=lease) as connection,
            ):
                folders = known_as(connection.list_folders(), connection.namespaces())
                return Greeted(tuple(sorted(connection.capabilities)), tuple(folders))
        except ProxyForbiddenError as error:
            raise InvalidFieldError({"account.imap.proxy_url": str(error)}) from None
        except EndpointForbiddenError as error:
            raise InvalidFieldError({"account.imap.host": str(error)}) from None
        except UnsafeArgumentError as error:
            raise InvalidFieldError({"account.auth": str(error)}) from None

    return attempt
