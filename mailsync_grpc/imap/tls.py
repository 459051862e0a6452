"""TLS toward mail servers: what is trusted, what is shown, and what went wrong in words an operator can act on.

Certificates are always verified, against the endpoint's host as its account names it (RFC 9525), and nothing older than
TLS 1.2 is spoken (RFC 8996). OpenSSL takes a client's key from a file only; it is given one in memory, without a name.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mailsync_grpc.errors import ImapTlsError, ImapUnreachableError
from mailsync_grpc.imap.endpoint import Endpoint

_OWN_CA = "if it is the right one, give its authority in imap.tls.ca_pem"
_OTHER_NAME = "it is for another name; imap.host must be one of the names it bears"
# Numbers of OpenSSL's x509_vfy.h.
_CERTIFICATE_FAULTS: Final = {
    9: "it is not valid yet; check the clock of this machine",
    10: "it has expired; the mail server's operator has to renew it",
    18: f"it is signed by itself; {_OWN_CA}",
    19: f"its authority is unknown; {_OWN_CA}",
    20: f"its authority is unknown; {_OWN_CA}",
    21: f"its authority is unknown; {_OWN_CA}",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
_WRONG_PORT = "the port does not begin with TLS; perhaps it wants STARTTLS, or another port is meant"
_TOO_OLD = "the server speaks only TLS older than 1.2, which is not safe"
_OUR_CERTIFICATE = (
    "the server does not accept the account's client certificate (imap.tls.client_certificate_pem)"
)
_TLS_FAULTS: Final = {
    "WRONG_VERSION_NUMBER": _WRONG_PORT,
    "HTTP_REQUEST": _WRONG_PORT,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server asks for a client certificate; set imap.tls.client_certificate_pem",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refused the handshake; perhaps it asks for a client certificate"
    " (imap.tls.client_certificate_pem), or for ciphers that are not safe",
    "TLSV1_ALERT_UNKNOWN_CA": _OUR_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _OUR_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_OUR_CERTIFICATE}: it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"{_OUR_CERTIFICATE}: it is revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _OUR_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _OUR_CERTIFICATE,
}


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the verifying context of an endpoint; with `ca_pem` only those authorities are trusted.

    Raises ImapTlsError for what is no certificate, or no pair of certificate and key.
    """
    try:
        context = ssl.create_default_context(cadata=endpoint.ca_pem or None)
    except (ssl.SSLError, ValueError):
        raise ImapTlsError("the account's ca_pem holds no PEM certificate") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if endpoint.client_certificate_pem:
        _show(context, f"{endpoint.client_certificate_pem}\n{endpoint.client_key_pem}\n")
    return context


def secured(sock: socket.socket, endpoint: Endpoint, timeout: float) -> ssl.SSLSocket:
    """Return `sock` inside TLS, the handshake done in `timeout` seconds and the certificate checked against the host.

    A fault closes it. Raises ImapTlsError and OSError.
    """
    try:
        sock.settimeout(timeout)
        return tls_context(endpoint).wrap_socket(sock, server_hostname=endpoint.host)
    except BaseException:
        sock.close()
        raise


def described(fault: OSError, endpoint: Endpoint) -> ImapUnreachableError:
    """Return the tree's error for a fault of the socket or of TLS."""
    place = f"{endpoint.host}:{endpoint.port}"
    if isinstance(fault, ssl.SSLCertVerificationError):
        told = _CERTIFICATE_FAULTS.get(fault.verify_code, fault.verify_message)
        return ImapTlsError(f"the certificate of {place} is not trusted: {told}")
    if isinstance(fault, ssl.SSLError):
        told = fault.reason or fault.strerror or "unknown fault"
        return ImapTlsError(f"TLS with {place} failed: {_TLS_FAULTS.get(told, told)}")
    if isinstance(fault, TimeoutError):
        return ImapUnreachableError(f"{place} did not answer in time")
    return ImapUnreachableError(f"{place} cannot be reached: {fault.strerror or type(fault).__name__}")


def _show(context: ssl.SSLContext, pair: str) -> None:
    try:
        with _in_memory(pair.encode()) as path:
            # With a password given, a key that wants one is a fault and no question on a terminal.
            context.load_cert_chain(path, password="")
    except (OSError, ValueError):
        raise ImapTlsError(
            "the account's client certificate and key cannot be used; set both in imap.tls anew"
        ) from None


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Yield the path of a file that holds `content` in memory and is reached by this process alone."""
    handle = os.memfd_create("mailsync", os.MFD_CLOEXEC)
    try:
        os.write(handle, content)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
