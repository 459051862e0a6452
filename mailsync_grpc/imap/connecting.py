"""From an account as stored to a connection: its endpoint, the operator's policy, its budget, its opened credentials."""

from collections.abc import Callable, Iterator, Mapping
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
from mailsync_grpc.model.proxy import parse_proxy
from mailsync_grpc.vault import Vault

PROXY_PASSWORD, CLIENT_KEY = "proxy_password", "client_key"
"""Names of the secrets of the way to a mail server, among those that are sealed for an account."""

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
    proxy = config.proxy_url
    return Policy(
        proxy=None if proxy is None else parse_proxy(proxy.get_secret_value()),
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


def endpoint_of(account: Account, secrets: Mapping[str, object] | None = None) -> Endpoint:
    """Return where the account's mail is, with the secrets of the way there as far as they are given."""
    password, key = ((secrets or {}).get(name) for name in (PROXY_PASSWORD, CLIENT_KEY))
    proxy = parse_proxy(account.proxy_url) if account.proxy_url else None
    return Endpoint(
        host=account.host,
        port=account.port,
        security=account.security,
        ca_pem=account.ca_pem,
        proxy=proxy and proxy.with_password(password if isinstance(password, str) else None),
        client_certificate_pem=account.client_certificate_pem,
        client_key_pem=key if isinstance(key, str) else "",
    )


def secrets_of(endpoint: Endpoint) -> dict[str, object]:
    """Return what is to be sealed for the way to an endpoint, beside the credentials."""
    password = endpoint.proxy.password if endpoint.proxy else None
    named = {PROXY_PASSWORD: password, CLIENT_KEY: endpoint.client_key_pem}
    return {name: secret for name, secret in named.items() if secret}


def opened_endpoint(vault: Vault, account: Account) -> Endpoint:
    """Return where the account's mail is, ready to connect to. Raises CredentialsNeededError."""
    endpoint = endpoint_of(account)
    if not (endpoint.client_certificate_pem or (endpoint.proxy and endpoint.proxy.username)):
        return endpoint
    return endpoint_of(account, vault.open_secrets(account.no, account.sealed_credentials))


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


def connector(config: ImapConfig, vault: Vault, login_of: LoginOf, books: Ledger, use: Use) -> Connector:
    """Return a function that connects and logs in an account."""
    policy = policy_of(config)

    def connect_account(account: Account) -> Connection:
        def attempt(credentials: Credentials) -> Connection:
            with leased(books, account.host, account.username, use) as lease:
                return connect(endpoint, policy, credentials, lease=lease)

        endpoint = opened_endpoint(vault, account)
        try:
            return login_of(account)(attempt)
        except ImapError as error:
            metrics.IMAP_ERRORS.labels(reason=error.reason).inc()
            raise

    return connect_account
