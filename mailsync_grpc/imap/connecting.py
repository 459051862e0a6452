"""From an account as stored to a connection: its endpoint, the operator's policy, its opened credentials."""

from collections.abc import Callable

from mailsync_grpc import metrics
from mailsync_grpc.config import ImapConfig
from mailsync_grpc.errors import ImapError
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.imap.endpoint import Endpoint, Policy
from mailsync_grpc.model.account import Account
from mailsync_grpc.vault import Vault

Connector = Callable[[Account], Connection]
"""Opens a logged-in connection. Raises ImapError and CredentialsNeededError."""


def policy_of(config: ImapConfig) -> Policy:
    """Return what the operator's settings allow toward mail servers."""
    return Policy(
        allow_networks=config.allow_networks,
        allow_plaintext=config.allow_plaintext,
        connect_timeout=config.connect_timeout,
        command_deadline=config.command_timeout,
    )


def endpoint_of(account: Account) -> Endpoint:
    """Return where the account's mail is."""
    return Endpoint(account.host, account.port, account.security, account.ca_pem)


def connector(config: ImapConfig, vault: Vault) -> Connector:
    """Return a function that connects and logs in an account; the password lives only as long as the call."""
    policy = policy_of(config)

    def connect_account(account: Account) -> Connection:
        credentials = Password(account.username, vault.open_password(account.no, account.sealed_credentials))
        try:
            return connect(endpoint_of(account), policy, credentials)
        except ImapError as error:
            metrics.IMAP_ERRORS.labels(reason=error.reason).inc()
            raise

    return connect_account
