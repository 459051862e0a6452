"""From an account as stored to a connection: its endpoint, the operator's policy, its budget, its opened credentials."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from mailsync_grpc import metrics
from mailsync_grpc.config import Config, ImapConfig
from mailsync_grpc.errors import ImapError
from mailsync_grpc.imap.auth import Credentials, Password
from mailsync_grpc.imap.budget import Mailbox, Process, Use
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.imap.endpoint import Endpoint, Policy
from mailsync_grpc.imap.ledger import Lease, Ledger, ledger
from mailsync_grpc.model.account import Account
from mailsync_grpc.vault import Vault

Connector = Callable[[Account], Connection]
"""Opens a logged-in connection. Raises ImapError, CredentialsNeededError and BudgetSpentError."""


T = TypeVar("T")


class Login(Protocol):
    """A way to log in: makes one attempt with credentials, or a second with others when it knows better ones."""

    def __call__(self, attempt: Callable[[Credentials], T], /) -> T:
        """Return what the attempt does. Raises what it does, ImapError and CredentialsNeededError."""
        ...


LoginOf = Callable[[Account], Login]


def policy_of(config: ImapConfig) -> Policy:
    """Return what the operator's settings allow toward mail servers."""
    return Policy(
        allow_networks=config.allow_networks,
        allow_plaintext=config.allow_plaintext,
        connect_timeout=config.connect_timeout,
        command_deadline=config.command_timeout,
    )


def ledger_of(config: Config, process: Process) -> Ledger:
    """Return this process's share of what mail servers put up with."""
    overrides = {
        domain.lower(): limits.model_dump(exclude_none=True) for domain, limits in config.imap.limits.items()
    }
    return ledger(overrides, process, config.workers)


def endpoint_of(account: Account) -> Endpoint:
    """Return where the account's mail is."""
    return Endpoint(account.host, account.port, account.security, account.ca_pem)


@contextmanager
def leased(books: Ledger, host: str, username: str, use: Use) -> Iterator[Lease]:
    """Hold a place for a connection that is opened in the block, which then holds it. Raises BudgetSpentError."""
    lease = books.lease(Mailbox(host.lower(), username), use)
    try:
        yield lease
    except BaseException:
        lease.release()
        raise


def with_password(vault: Vault) -> LoginOf:
    """Return how accounts log in whose password is sealed in their record; it is opened only as long as an attempt."""

    def login_of(account: Account) -> Login:
        def login(attempt: Callable[[Credentials], T]) -> T:
            password = vault.open_password(account.no, account.sealed_credentials)
            return attempt(Password(account.username, password))

        return login

    return login_of


def connector(config: ImapConfig, login_of: LoginOf, books: Ledger, use: Use) -> Connector:
    """Return a function that connects and logs in an account."""
    policy = policy_of(config)

    def connect_account(account: Account) -> Connection:
        def attempt(credentials: Credentials) -> Connection:
            with leased(books, account.host, account.username, use) as lease:
                return connect(endpoint_of(account), policy, credentials, lease=lease)

        try:
            return login_of(account)(attempt)
        except ImapError as error:
            metrics.IMAP_ERRORS.labels(reason=error.reason).inc()
            raise

    return connect_account
