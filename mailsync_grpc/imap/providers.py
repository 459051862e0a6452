"""Providers of authorizations: what is known of two of them, completed by what the operator has configured."""

from dataclasses import dataclass, field, replace

from mailsync_grpc.config import OAuthProvider
from mailsync_grpc.imap.oauth import Grant


@dataclass(frozen=True, slots=True)
class Provider:
    """Where users give their consent, what for, and what a provider wants to see in the request for it.

    `issuer`, when set, names the endpoints by its metadata.
    """

    authorization_endpoint: str = ""
    token_endpoint: str = ""
    scopes: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    issuer: str = ""


_KNOWN = {
    # Without these two Google gives a refresh token at the first consent only.
    "google": Provider(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        ("https://mail.google.com/",),
        {"access_type": "offline", "prompt": "consent"},
    ),
    "microsoft": Provider(
        "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        ("https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access"),
    ),
}


def provider_of(name: str, configured: OAuthProvider) -> Provider:
    """Return what is known of a provider, with what its configuration says instead."""
    known = _KNOWN.get(name, Provider())
    if configured.issuer:
        known = replace(known, authorization_endpoint="", token_endpoint="", issuer=configured.issuer)
    return replace(
        known,
        authorization_endpoint=configured.authorization_endpoint or known.authorization_endpoint,
        token_endpoint=configured.token_endpoint or known.token_endpoint,
        scopes=configured.scopes or known.scopes,
        parameters=known.parameters | configured.parameters,
    )


def registered(grant: Grant, configured: OAuthProvider) -> Grant:
    """Return the grant as this service's registration with the provider asks for it."""
    secret = configured.client_secret
    return replace(
        grant,
        client_id=configured.client_id,
        client_secret=secret.get_secret_value() if secret else "",
    )
