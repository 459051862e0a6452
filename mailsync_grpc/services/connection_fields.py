"""The way to a mail server as callers may set it: its proxy, and the certificate that is shown to it.

A proxy's password and a certificate's key are given and never returned, so an edit that leaves them out keeps them, as
long as the proxy and the certificate are the ones they were given for. `user:@host` says that there is no password.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from mailsync_grpc.errors import InvalidFieldError
from mailsync_grpc.imap.connecting import CLIENT_KEY, PROXY_PASSWORD, endpoint_of
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.proxy import PROXY_FORM, Proxy, parse_proxy
from mailsync_grpc.services.fields import Violations
from mailsync_grpc.v1 import account_pb2 as pb

_MAX_PEM = 64 << 10
_CERTIFICATE_FIELD, _KEY_FIELD = "account.imap.tls.client_certificate_pem", "account.imap.tls.client_key_pem"
_KEY_FORM = f"the certificate's own private key in PEM, without a password, at most {_MAX_PEM} characters"


@dataclass(frozen=True, slots=True)
class Way:
    """How the mail server is reached; `client_key_pem` is empty where it is not given."""

    ca_pem: str = ""
    client_certificate_pem: str = ""
    client_key_pem: str = field(default="", repr=False)
    proxy: Proxy | None = None


def read_way(imap: pb.ImapEndpoint, faults: Violations) -> Way:
    """Return the checked settings, noting what is wrong with them."""
    if imap.tls.ca_pem and not certificates(imap.tls.ca_pem):
        faults.add("account.imap.tls.ca_pem", f"certificates in PEM, at most {_MAX_PEM} characters")
    _check_pair(imap.tls, faults)
    return Way(
        ca_pem=imap.tls.ca_pem,
        client_certificate_pem=imap.tls.client_certificate_pem,
        client_key_pem=imap.tls.client_key_pem,
        proxy=_proxy(imap.proxy_url, faults),
    )


def certificates(text: str) -> list[Certificate]:
    """Return the certificates of a PEM text, none when it is none or too long."""
    try:
        return load_pem_x509_certificates(text.encode()) if len(text) <= _MAX_PEM else []
    except ValueError:
        return []


def way_secrets(
    way: Way, before: Account | None = None, stored: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return what is to be sealed of the way: what is given, else what is `stored` for the same proxy and certificate.

    `before` is the account that is edited, `stored` its secrets, None where they cannot be read. Raises
    InvalidFieldError when a certificate is left without its key, or a proxy's user name without a password.
    """
    password, key = _proxy_password(way, before, stored), _key(way, before, stored)
    faults = Violations()
    faults.unless(bool(key or not way.client_certificate_pem), _KEY_FIELD, _KEY_FORM)
    told = password is not None or not (way.proxy and way.proxy.username)
    faults.unless(told, "account.imap.proxy_url", "a password after the user name; user:@host for none")
    faults.raise_any()
    return {name: secret for name, secret in ((PROXY_PASSWORD, password), (CLIENT_KEY, key)) if secret}


def without_way_secrets(stored: Mapping[str, object]) -> dict[str, object]:
    """Return the secrets that belong to the login."""
    return {name: secret for name, secret in stored.items() if name not in {PROXY_PASSWORD, CLIENT_KEY}}


def edits_secrets(way: Way, before: Account) -> bool:
    """Whether other secrets than the stored ones are to be sealed for the way."""
    given = way.client_key_pem or (way.proxy is not None and way.proxy.password is not None)
    return bool(given) or way.client_certificate_pem != before.client_certificate_pem


def check_goes_nowhere_else(before: Account, after: Account) -> None:
    """Refuse to send stored credentials another way, or whoever edits accounts could read them there.

    A client certificate is shown to the same server, so a renewed one needs nothing else. Raises InvalidFieldError.
    """
    old, new = (replace(endpoint_of(account), client_certificate_pem="") for account in (before, after))
    if old != new:
        raise InvalidFieldError(
            {"account.auth": "another mail server, proxy or TLS setting needs the credentials again"}
        )


def _proxy_password(way: Way, before: Account | None, stored: Mapping[str, object] | None) -> object:
    if way.proxy is None:
        return None
    if way.proxy.password is None and before is not None and before.proxy_url == way.proxy.url:
        # An empty one is not sealed.
        return None if stored is None else stored.get(PROXY_PASSWORD, "")
    return way.proxy.password


def _key(way: Way, before: Account | None, stored: Mapping[str, object] | None) -> object:
    if way.client_key_pem or before is None or before.client_certificate_pem != way.client_certificate_pem:
        return way.client_key_pem
    return (stored or {}).get(CLIENT_KEY)


def _proxy(url: str, faults: Violations) -> Proxy | None:
    if not url:
        return None
    try:
        return parse_proxy(url)
    except ValueError:
        faults.add("account.imap.proxy_url", PROXY_FORM)
        return None


def _check_pair(tls: pb.TlsSettings, faults: Violations) -> None:
    shown = certificates(tls.client_certificate_pem)
    if tls.client_certificate_pem and not shown:
        faults.add(
            _CERTIFICATE_FIELD, f"a certificate in PEM, its issuers after it, at most {_MAX_PEM} characters"
        )
    elif tls.client_key_pem and not shown:
        faults.add(_CERTIFICATE_FIELD, "the certificate of the key")
    elif tls.client_key_pem and not _belong_together(shown[0], tls.client_key_pem):
        faults.add(_KEY_FIELD, _KEY_FORM)


def _belong_together(certificate: Certificate, key_pem: str) -> bool:
    try:
        key = load_pem_private_key(key_pem.encode(), None) if len(key_pem) <= _MAX_PEM else None
        return key is not None and _spki(key.public_key()) == _spki(certificate.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        return False


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
