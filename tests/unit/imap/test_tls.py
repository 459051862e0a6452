"""TLS toward mail servers: what is refused is refused with the certificate's fault and what to do about it."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from mailsync_grpc.errors import ImapTlsError
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security
from mailsync_grpc.imap.tls import tls_context
from tests.support.certificates import Authority, Pair, self_signed
from tests.unit.imap.scripted import CREDENTIALS

POLICY = Policy((ip_network("127.0.0.0/8"), ip_network("::1/128")))
TRUSTED = Authority()
CLIENT = TRUSTED.issue("client", client=True)
ANSWERS = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n", b"AUTHENTICATE": b"+ \r\n"}


@contextmanager
def serving(context: ssl.SSLContext, *, starttls: bool = False, address: str = "127.0.0.1") -> Iterator[int]:
    """An IMAP server for one login, in TLS at once or after STARTTLS; yield its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as client:
            client.settimeout(10)
            if starttls:
                client.sendall(b"* OK ready\r\n")
                _converse(client, until=b"STARTTLS")
            with context.wrap_socket(client, server_side=True) as inside:
                if not starttls:
                    inside.sendall(b"* OK ready\r\n")
                _converse(inside)

    with socket.create_server((address, 0), family=family) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
    thread.join()


def _converse(client: socket.socket, until: bytes = b"LOGOUT") -> None:
    buffer = b""
    while until not in buffer:
        data = client.recv(1_000)
        if not data:
            return
        buffer = data
        tag, _, command = data.rstrip().partition(b" ")
        answer = ANSWERS.get(command.split(b" ")[0], b"")
        if answer.startswith(b"+"):
            client.sendall(answer)
            client.recv(1_000)
            answer = b""
        client.sendall(answer + tag + b" OK done\r\n")


def log_in(port: int, host: str = "127.0.0.1", *, starttls: bool = False, shown: Pair | None = None) -> None:
    security = Security.STARTTLS if starttls else Security.IMPLICIT_TLS
    endpoint = Endpoint(host, port, security, TRUSTED.pem)
    if shown is not None:
        endpoint = Endpoint(*(host, port, security, TRUSTED.pem), None, shown.certificate, shown.key)
    connect(endpoint, POLICY, CREDENTIALS).close()


@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
@pytest.mark.parametrize(
    ("pair", "told"),
    [
        (TRUSTED.issue("127.0.0.1", life=timedelta(days=-1)), "it has expired; .* renew it"),
        (TRUSTED.issue("mail.example", "127.0.0.2"), r"for another name; imap\.host must be"),
        (self_signed("127.0.0.1"), r"it is signed by itself; .*imap\.tls\.ca_pem"),
        (Authority().issue("127.0.0.1"), r"its authority is unknown; .*imap\.tls\.ca_pem"),
    ],
    ids=["expired", "another_name", "self_signed", "unknown_authority"],
)
def test_a_certificates_fault_is_told_with_what_to_do(
    tmp_path: Path, pair: Pair, told: str, starttls: bool
) -> None:
    with (
        serving(pair.server_context(tmp_path), starttls=starttls) as port,
        pytest.raises(ImapTlsError, match=f"the certificate of 127.0.0.1:{port} is not trusted: .*{told}"),
    ):
        log_in(port, starttls=starttls)


def test_a_name_that_the_certificate_lacks_is_refused_though_the_address_is_right(tmp_path: Path) -> None:
    context = TRUSTED.issue("127.0.0.1").server_context(tmp_path)
    with serving(context) as port, pytest.raises(ImapTlsError, match="another name"):
        log_in(port, "localhost")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
def test_an_address_for_a_host_is_held_against_the_certificates_addresses(
    tmp_path: Path, address: str, starttls: bool
) -> None:
    context = TRUSTED.issue(address).server_context(tmp_path)
    with serving(context, starttls=starttls, address=address) as port:
        log_in(port, address, starttls=starttls)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    context = TRUSTED.issue("127.0.0.1").server_context(tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(context) as port, pytest.raises(ImapTlsError, match=r"older than 1\.2"):
        log_in(port)


def test_every_context_verifies() -> None:
    for endpoint in (Endpoint("a", 1), Endpoint("a", 1, Security.STARTTLS, TRUSTED.pem)):
        context = tls_context(endpoint)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_tls_to_a_port_that_waits_for_starttls_says_so(tmp_path: Path) -> None:
    context = TRUSTED.issue("127.0.0.1").server_context(tmp_path)
    with (
        serving(context, starttls=True) as port,
        pytest.raises(ImapTlsError, match="perhaps it wants STARTTLS"),
    ):
        log_in(port)


@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
def test_a_client_certificate_is_shown(tmp_path: Path, starttls: bool) -> None:
    context = TRUSTED.issue("127.0.0.1").server_context(tmp_path, TRUSTED.pem)
    with serving(context, starttls=starttls) as port:
        log_in(port, starttls=starttls, shown=CLIENT)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (None, "client certificate"),
        (Authority().issue("client", client=True), "client certificate"),
        (TRUSTED.issue("client", client=True, life=timedelta(days=-1)), "client certificate.*expired"),
    ],
    ids=["none", "unknown", "expired"],
)
def test_a_server_that_does_not_take_the_client_certificate_is_understood(
    tmp_path: Path, newest: ssl.TLSVersion, shown: Pair | None, told: str
) -> None:
    context = TRUSTED.issue("127.0.0.1").server_context(tmp_path, TRUSTED.pem)
    context.maximum_version = newest
    with serving(context) as port, pytest.raises(ImapTlsError, match=told):
        log_in(port, shown=shown)


def test_a_pair_that_does_not_belong_together_is_refused_without_the_key() -> None:
    other = TRUSTED.issue("other", client=True)
    endpoint = Endpoint("a", 1, client_certificate_pem=CLIENT.certificate, client_key_pem=other.key)
    with pytest.raises(ImapTlsError, match=r"imap\.tls") as caught:
        tls_context(endpoint)
    assert other.key.splitlines()[1] not in f"{caught.value!r} {endpoint!r}"
