"""A provider of authorizations, a Dovecot that asks it about each token, and a service that is registered there."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.dovecot_config import DovecotOptions
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.oauth_server import CLIENT, SECRET, OAuthServer
from tests.support.service import Service, Stubs, running

USERS = ("anna", "bert", "carl", "dora", "emil", "frida")
REDIRECT = "http://127.0.0.1:1/back"


@dataclass
class House:
    """A provider with its mail server, and a service that is registered there."""

    provider: OAuthServer
    mail: DovecotServer
    service: Service
    secrets: Path

    def account(self, auth: account_pb2.AccountAuth) -> account_pb2.Account:
        endpoint = account_pb2.ImapEndpoint(
            host=self.mail.host, port=self.mail.port, security=account_pb2.IMAP_SECURITY_PLAINTEXT
        )
        return account_pb2.Account(imap=endpoint, auth=auth)

    def create(self, stubs: Stubs, account_id: str, auth: account_pb2.AccountAuth) -> account_pb2.Account:
        """Register an account and wait for its first sync."""
        request = pb.CreateAccountRequest(account=self.account(auth), account_id=account_id)
        created = stubs.accounts.CreateAccount(request)
        stubs.finish(created.sync_run)
        return created.account

    def restart_mail(self) -> None:
        """End every session, as a mail server's restart does."""
        self.mail.stop()
        self.mail.start()

    def authorize(self, stubs: Stubs, user: str, account: str = "") -> pb.CompleteAuthorizationResponse:
        """Let a user consent, for an account or for one still to be created."""
        self.provider.user = user
        request = pb.BeginAuthorizationRequest(account=account, provider="house", redirect_uri=REDIRECT)
        back = self.provider.browse(stubs.accounts.BeginAuthorization(request).authorization_url)
        complete = pb.CompleteAuthorizationRequest(state=back["state"], code=back["code"])
        return stubs.accounts.CompleteAuthorization(complete)

    def oauth(self, user: str, mechanism: int = 0) -> account_pb2.AccountAuth:
        """Credentials with the refresh token of a consent."""
        given = account_pb2.OAuthAuth(
            username=user,
            refresh_token=self.provider.consent(user),
            token_endpoint=self.provider.token_endpoint,
            client_id=CLIENT,
            client_secret=SECRET,
            mechanism=account_pb2.OauthMechanism.ValueType(mechanism),
        )
        return account_pb2.AccountAuth(oauth=given)


@contextmanager
def housed(**settings: str) -> Iterator[House]:
    """A house while the block runs; `settings` are variables of the service's environment.

    Dovecot's certificates are lent to the provider, so that one authority stands for the system's trust.
    """
    with tempfile.TemporaryDirectory() as data:
        lender = DovecotServer(())
        secrets = Path(data) / "secrets"
        secrets.mkdir()
        with lender, OAuthServer(lender.certificates) as provider:
            options = DovecotOptions(introspection_url=f"{provider.http}/introspect")
            environment = {
                "SSL_CERT_FILE": str(lender.certificates.ca_file),
                "MAILSYNC_OAUTH__PROVIDERS__HOUSE__CLIENT_ID": CLIENT,
                "MAILSYNC_OAUTH__PROVIDERS__HOUSE__CLIENT_SECRET": SECRET,
                "MAILSYNC_OAUTH__PROVIDERS__HOUSE__ISSUER": provider.issuer,
                "MAILSYNC_SECRETS__DIRECTORY": str(secrets),
                "MAILSYNC_SECRETS__HOSTS": "*",
                **settings,
            }
            with DovecotServer(USERS, options) as mail, running(Service(Path(data), environment)) as service:
                yield House(provider, mail, service, secrets)
