"""The files of the gRPC port's TLS, looked at whenever a peer connects and read again when they have changed.

gRPC asks for the certificate at each handshake. That is the moment to see, by the files' times and sizes, whether there
are new ones: who renews certificates has nothing to tell the server. Files that do not go together, such as a new
certificate whose key is still to be written, change nothing but the log: the last good ones serve on. Connections that
are open keep what they began with.
"""

import ssl
import threading
from pathlib import Path
from typing import Any

import grpc
import structlog

from mailsync_grpc.config import TlsConfig
from mailsync_grpc.errors import ConfigError

_log = structlog.get_logger(__name__)

Marks = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """Certificate, key and, where callers must show one, the authority of theirs. Raises ConfigError when made of wrong files."""

    def __init__(self, tls: TlsConfig) -> None:
        assert tls.cert_file is not None
        assert tls.key_file is not None
        self._cert, self._key, self._client_ca = tls.cert_file, tls.key_file, tls.client_ca_file
        self._lock = threading.Lock()
        self._marks = self._look()
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow the files."""
        must_show = self._client_ca is not None
        fetch: Any = self.renewed  # its declaration knows of no None, which says that nothing changed
        return grpc.dynamic_ssl_server_credentials(self._first, fetch, must_show)

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what the files hold if they have changed since the last look and are sound, else None."""
        with self._lock:
            marks = self._look()
            if marks == self._marks:
                return None
            self._marks = marks
            try:
                renewed = self._read()
            except ConfigError as error:
                _log.error("certificate not renewed, the one before serves on", error=str(error))
                return None
        _log.info("certificate renewed", file=str(self._cert))
        return renewed

    def _look(self) -> Marks:
        files = (self._cert, self._key, self._client_ca)
        return tuple(_mark(file) for file in files if file is not None)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        try:
            certificate, key = self._cert.read_bytes(), self._key.read_bytes()
            authority = self._client_ca.read_bytes() if self._client_ca is not None else None
            _check(self._cert, self._key, self._client_ca)
        except ssl.SSLError as error:
            fault = error.reason or "no certificate in PEM with its key"
            raise ConfigError(f"{self._settings}: {fault}") from None
        except OSError as error:
            raise ConfigError(f"{self._settings}: {error}") from None
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)

    @property
    def _settings(self) -> str:
        return "tls.cert_file, tls.key_file" + (", tls.client_ca_file" if self._client_ca else "")


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _check(cert: Path, key: Path, client_ca: Path | None) -> None:
    # gRPC would say no more of a wrong one than that the port could not be added. No password: never ask for one.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key, password="")
    if client_ca is not None:
        context.load_verify_locations(client_ca)
