"""Autoconfig documents: honest ones are understood, hostile ones name no server, and take no time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.discovery.address import parse_address
from mailsync_grpc.discovery.autoconfig import MAX_OCTETS, read_autoconfig
from mailsync_grpc.discovery.candidates import Candidate
from mailsync_grpc.discovery.providers import Kind
from mailsync_grpc.model.account import Security

ANNA = parse_address("anna@example.test")
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>'


def document(*servers: str, head: bytes = HEAD) -> bytes:
    inner = "".join(servers)
    return (
        head
        + f'<clientConfig version="1.1"><emailProvider id="x">{inner}</emailProvider></clientConfig>'.encode()
    )


def server(
    host: str = "imap.example.test",
    port: str = "993",
    socket: str = "SSL",
    user: str = "%EMAILADDRESS%",
    auth: str = "<authentication>password-cleartext</authentication>",
    kind: str = "imap",
) -> str:
    return (
        f'<incomingServer type="{kind}"><hostname>{host}</hostname><port>{port}</port><socketType>{socket}</socketType>'
        f"<username>{user}</username>{auth}</incomingServer>"
    )


def read(*servers: str) -> tuple[Candidate, ...]:
    return read_autoconfig(document(*servers), ANNA)


def test_imap_servers_are_taken_in_the_order_of_the_document() -> None:
    found = read(
        server(kind="pop3"),
        server(),
        server(port="143", socket="STARTTLS", user="%EMAILLOCALPART%"),
        server("old.example.test", "143", "plain"),
    )
    assert [(each.host, each.port, each.security, each.username) for each in found] == [
        ("imap.example.test", 993, Security.IMPLICIT_TLS, "anna@example.test"),
        ("imap.example.test", 143, Security.STARTTLS, "anna"),
        ("old.example.test", 143, Security.PLAINTEXT, "anna@example.test"),
    ]


def test_placeholders_are_filled_in() -> None:
    (found,) = read(server("%EMAILLOCALPART%.%EMAILDOMAIN%", user="%EMAILDOMAIN%\\%EMAILLOCALPART%"))
    assert (found.host, found.username) == ("anna.example.test", "example.test\\anna")


def test_credentials_are_those_of_the_document_best_first() -> None:
    both = "<authentication>OAuth2</authentication><authentication>password-cleartext</authentication>"
    (found,) = read(server(auth=both))
    assert found.kinds == (Kind.OAUTH, Kind.PASSWORD)
    (silent,) = read(server(auth=""))
    assert silent.kinds == ()
    assert read(server(auth="<authentication>GSSAPI</authentication>")) == ()


def test_an_unknown_placeholder_leaves_the_login_name_to_others() -> None:
    assert read(server(user="%REALNAME%"))[0].username == ""


@pytest.mark.parametrize(
    "wrong",
    [
        server(host=""),
        server(host="127.0.0.1:993"),
        server(host="localhost"),
        server(host="a..b"),
        server(host="-a.example.test"),
        server(host="imap.example.test/../"),
        server(host="a." * 200 + "test"),
        server(port="0"),
        server(port="65536"),
        server(port="-1"),
        server(port="٣"),
        server(port="9" * 500),
        server(socket="TLS1.3"),
        server(socket=""),
    ],
)
def test_a_server_that_cannot_be_is_left_out(wrong: str) -> None:
    assert [found.host for found in read(wrong, server())] == ["imap.example.test"]


def test_a_login_name_that_could_not_be_sent_is_not_taken() -> None:
    assert [read(server(user=user))[0].username for user in ("a&#10;b", "a" * 400)] == ["", ""]


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><clientConfig>&j;</clientConfig>"
)
OUTSIDE = b'<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]><clientConfig>&x;</clientConfig>'


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(BOMB, id="billion_laughs"),
        pytest.param(OUTSIDE, id="external_entity"),
        pytest.param(document(server(), head=b"<!DOCTYPE clientConfig>"), id="doctype"),
        pytest.param(b"<a>" * 80_000, id="depth"),
        pytest.param(document("<x/>" * 60_000, server()), id="elements"),
        pytest.param(document(server()) + b" " * MAX_OCTETS, id="size"),
        pytest.param(document(server())[:-5], id="cut"),
        pytest.param(b'<?xml version="1.0" encoding="nonsense"?><clientConfig/>', id="encoding"),
        pytest.param(b'<?xml version="1.0" encoding="utf-7"?><clientConfig/>', id="encoding_of_many_octets"),
        pytest.param(b"<html><body>404</body></html>", id="page"),
        pytest.param(b"\x00\xff\xfe", id="junk"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_hostile_document_names_no_server_and_takes_no_time(hostile: bytes) -> None:
    began = time.process_time()
    assert read_autoconfig(hostile, ANNA) == ()
    assert time.process_time() - began < 1


def test_text_without_end_is_kept_short() -> None:
    filler = "<username>" + "a" * 200_000 + "</username>"
    assert read(server(user=""), server().replace("</incomingServer>", filler + "</incomingServer>"))


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 40))
def test_no_octets_make_it_raise(octets: bytes, at: int, gone: int) -> None:
    whole = document(server(), server(port="143", socket="STARTTLS"))
    read_autoconfig(octets, ANNA)
    read_autoconfig(whole[:at] + octets + whole[at + gone :], ANNA)
