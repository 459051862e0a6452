"""Asking an authorization server: for its endpoints, for the tokens of a code, for an access token anew."""

from mailsync_grpc.errors import ImapUnreachableError
from mailsync_grpc.imap import authorization, oauth
from mailsync_grpc.imap.authorization import Endpoints
from mailsync_grpc.imap.endpoint import Policy
from mailsync_grpc.imap.oauth import Grant, Granted
from mailsync_grpc.imap.web import ask


def renew(grant: Grant, refresh_token: str, policy: Policy) -> Granted:
    """Return a new access token. Raises EndpointForbiddenError, ImapAuthError, ImapUnreachableError."""
    return _granted(grant, oauth.refresh_form(grant, refresh_token), policy)


def exchange(grant: Grant, code: str, verifier: str, redirect_uri: str, policy: Policy) -> Granted:
    """Return what a code is exchanged for. Raises as `renew`."""
    return _granted(grant, oauth.code_form(grant, code, verifier, redirect_uri), policy)


def _granted(grant: Grant, form: dict[str, str], policy: Policy) -> Granted:
    answer = ask(grant.token_endpoint, policy, oauth.encoded(form))
    hidden = (form.get(name, "") for name in ("refresh_token", "client_secret", "code", "code_verifier"))
    return oauth.granted(*answer, hidden)


def discover(issuer: str, policy: Policy) -> Endpoints:
    """Return an issuer's endpoints by its metadata, of OpenID or of OAuth 2.

    Raises EndpointForbiddenError, ImapUnreachableError, ImapProtocolError for metadata of another issuer.
    """
    for url in authorization.metadata_urls(issuer):
        answer = ask(url, policy)
        if answer.status == 200:
            return authorization.discovered(issuer, answer.body)
    raise ImapUnreachableError(f"no metadata is found at the issuer {issuer}")
