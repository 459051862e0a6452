"""Finding a mail server: best first, each server once, in time, and asking nobody but the domain itself."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network

import pytest
from dns.asyncresolver import Resolver
from dns.resolver import NoResolverConfiguration

from mailsync_grpc.discovery.address import parse_address
from mailsync_grpc.discovery.candidates import Candidate, Source
from mailsync_grpc.discovery.finder import Finder
from mailsync_grpc.discovery.providers import Kind
from mailsync_grpc.model.account import Security
from tests.support.domain import Domain

ANNA = parse_address("anna@example.test")
OWN = "autoconfig.example.test/mail/config-v1.1.xml"
WELL_KNOWN = "example.test/.well-known/autoconfig/mail/config-v1.1.xml"
PUBLIC = "192.88.98.7"  # global unicast, and never connected to


def document(host: str, user: str = "%EMAILLOCALPART%") -> bytes:
    return (
        f'<clientConfig version="1.1"><emailProvider id="x"><incomingServer type="imap"><hostname>{host}</hostname>'
        f"<port>993</port><socketType>SSL</socketType><username>{user}</username>"
        "<authentication>password-cleartext</authentication></incomingServer></emailProvider></clientConfig>"
    ).encode()


def brief(found: tuple[Candidate, ...]) -> list[tuple[str, int, str, Source]]:
    return [(each.host, each.port, each.username, each.source) for each in found]


def redirect(to: str) -> Callable[[socket.socket], None]:
    return lambda sock: sock.sendall(
        f"HTTP/1.1 301 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
    )


async def test_an_address_of_a_known_provider_is_answered_without_asking_anybody(domain: Domain) -> None:
    (found,) = await domain.finder()(parse_address("anna@gmail.com"))
    assert (found.host, found.port, found.username, found.source) == (
        "imap.gmail.com",
        993,
        "anna@gmail.com",
        Source.PROVIDER,
    )
    assert (found.kinds, found.oauth) == ((Kind.OAUTH, Kind.PASSWORD), "google")
    assert domain.names.asked == []


async def test_a_domain_hosted_by_a_known_provider_is_known_by_its_mx(domain: Domain) -> None:
    domain.names.zone["example.test", "MX"] = [
        "10 mx.elsewhere.test.",
        "0 example-test.mail.protection.outlook.com.",
    ]
    (found,) = await domain.finder()(ANNA)
    assert (found.host, found.username, found.kinds) == ("outlook.office365.com", ANNA.text, (Kind.OAUTH,))


async def test_srv_records_are_taken_by_priority_with_tls_first(domain: Domain) -> None:
    for host in ("a", "b", "c"):
        domain.host(f"{host}.example.test")
    domain.names.zone["_imaps._tcp.example.test", "SRV"] = [
        "20 1 993 b.example.test.",
        "10 5 9930 a.example.test.",
    ]
    domain.names.zone["_imap._tcp.example.test", "SRV"] = ["0 1 143 c.example.test."]
    found = await domain.finder()(ANNA)
    assert [(each.host, each.port, each.security) for each in found] == [
        ("a.example.test", 9930, Security.IMPLICIT_TLS),
        ("b.example.test", 993, Security.IMPLICIT_TLS),
        ("c.example.test", 143, Security.STARTTLS),
    ]
    assert {(each.username, each.kinds) for each in found} == {(ANNA.text, (Kind.PASSWORD,))}


async def test_a_root_target_means_not_offered(domain: Domain) -> None:
    domain.names.zone["_imaps._tcp.example.test", "SRV"] = ["0 0 0 ."]
    assert await domain.finder()(ANNA) == ()


async def test_the_domains_own_document_says_where_and_how(domain: Domain) -> None:
    domain.host("autoconfig.example.test")
    domain.host("imap.hoster.test")
    domain.web.pages[OWN] = document("imap.hoster.test")
    assert brief(await domain.finder()(ANNA)) == [("imap.hoster.test", 993, "anna", Source.AUTOCONFIG)]
    assert domain.web.asked == [f"https://{OWN}?emailaddress=anna%40example.test"]


async def test_the_well_known_place_is_looked_at_without_the_address(domain: Domain) -> None:
    domain.host("example.test")
    domain.host("imap.hoster.test")
    domain.web.pages[WELL_KNOWN] = document("imap.hoster.test", "%EMAILADDRESS%")
    assert brief(await domain.finder()(ANNA)) == [("imap.hoster.test", 993, ANNA.text, Source.AUTOCONFIG)]
    assert domain.web.asked == [f"https://{WELL_KNOWN}"]


async def test_a_usual_name_that_greets_is_the_last_guess(domain: Domain) -> None:
    domain.host("imap.example.test")
    domain.host("other.example.test")
    domain.names.zone["_imaps._tcp.example.test", "SRV"] = ["0 0 993 other.example.test."]
    assert brief(await domain.finder()(ANNA)) == [
        ("other.example.test", 993, ANNA.text, Source.SRV),
        ("imap.example.test", domain.imaps, ANNA.text, Source.GUESS),
    ]


async def test_a_usual_name_without_a_certificate_for_it_is_no_guess(domain: Domain) -> None:
    domain.host("imap.other.test")
    assert await domain.finder()(parse_address("anna@other.test")) == ()


async def test_a_usual_name_that_speaks_something_else_is_no_guess(domain: Domain) -> None:
    domain.host("imap.example.test")
    domain.imaps = domain.web.port
    assert await domain.finder(1.0)(ANNA) == ()


async def test_sources_that_name_one_server_are_one_candidate_with_what_each_knows(domain: Domain) -> None:
    domain.host("autoconfig.example.test")
    domain.host("imap.example.test")
    domain.names.zone["_imaps._tcp.example.test", "SRV"] = ["0 0 993 imap.example.test."]
    domain.web.pages[OWN] = document("imap.example.test")
    found = await domain.finder()(ANNA)
    assert brief(found)[0] == ("imap.example.test", 993, "anna", Source.SRV)
    assert [each.source for each in found] == [Source.SRV, Source.GUESS]  # the guess is at another port here


async def test_a_record_that_names_a_known_provider_is_completed_from_the_table(domain: Domain) -> None:
    domain.host("imap.gmail.com", PUBLIC)
    domain.names.zone["_imaps._tcp.example.test", "SRV"] = ["0 0 993 imap.gmail.com."]
    (found,) = await domain.finder()(ANNA)
    assert (found.source, found.kinds, found.oauth) == (Source.SRV, (Kind.OAUTH, Kind.PASSWORD), "google")


async def test_an_international_domain_is_asked_for_by_its_a_labels(domain: Domain) -> None:
    domain.host("imap.xn--bcher-kva.test")
    address = parse_address("änna@bücher.test")
    assert brief(await domain.finder()(address)) == [
        ("imap.xn--bcher-kva.test", domain.imaps, "änna@bücher.test", Source.GUESS)
    ]
    assert all(name.endswith("xn--bcher-kva.test") for name in domain.names.asked)


async def test_a_directory_is_asked_only_when_named_and_learns_the_domain_alone(domain: Domain) -> None:
    for host in ("directory.example.test", "imap.hoster.test"):
        domain.host(host)
    domain.web.pages["directory.example.test/v1.1/other.test"] = document("imap.hoster.test")
    address = parse_address("anna@other.test")
    assert await domain.finder()(address) == ()
    assert domain.web.asked == []
    directory = f"https://directory.example.test:{domain.web.port}/v1.1/"
    assert brief(await domain.finder(directory=directory)(address)) == [
        ("imap.hoster.test", 993, "anna", Source.AUTOCONFIG)
    ]
    assert domain.web.asked == ["https://directory.example.test/v1.1/other.test"]


async def test_hosts_that_are_not_public_are_neither_asked_nor_answered(domain: Domain) -> None:
    for host in ("example.test", "autoconfig.example.test", "imap.example.test"):
        domain.host(host, "127.0.0.1", "10.1.2.3", "169.254.169.254")
    domain.names.zone["_imaps._tcp.example.test", "SRV"] = ["0 0 993 imap.example.test."]
    domain.web.pages[OWN] = document("imap.example.test")
    assert await domain.finder(networks=())(ANNA) == ()
    assert domain.web.asked == []


async def test_a_document_may_not_point_inside(domain: Domain) -> None:
    domain.host("autoconfig.example.test")
    domain.host("inside.example.test", "10.1.2.3")
    domain.web.pages[OWN] = document("inside.example.test")
    assert await domain.finder(networks=(IPv4Network("127.0.0.0/8"),))(ANNA) == ()


async def test_a_redirect_is_followed_within_the_domain(domain: Domain) -> None:
    for host in ("example.test", "www.example.test", "imap.hoster.test"):
        domain.host(host)
    domain.web.pages[WELL_KNOWN] = redirect(f"https://www.example.test:{domain.web.port}/mail.xml")
    domain.web.pages["www.example.test/mail.xml"] = document("imap.hoster.test")
    assert [each.host for each in await domain.finder()(ANNA)] == ["imap.hoster.test"]


@pytest.mark.parametrize(
    "to",
    [
        "https://elsewhere.test/",
        "https://notexample.test/",
        "http://www.example.test/",
        "https://127.0.0.1/",
        "https://[::1/",
        "file:///etc/passwd",
        "https://user@www.example.test/",
        "https://www.example.test/\x80",
    ],
)
async def test_a_redirect_elsewhere_is_not_followed(domain: Domain, to: str) -> None:
    domain.host("autoconfig.example.test")
    domain.host("elsewhere.test")
    domain.web.pages[OWN] = redirect(to)
    assert await domain.finder()(ANNA) == ()
    assert len(domain.web.asked) == 1


async def test_redirects_have_an_end(domain: Domain) -> None:
    domain.host("autoconfig.example.test")
    domain.web.pages[OWN] = redirect(f"/{OWN.split('/', 1)[1]}")
    assert await domain.finder()(ANNA) == ()
    assert len(domain.web.asked) == 4


async def test_a_redirect_to_a_private_host_of_the_domain_is_not_followed(domain: Domain) -> None:
    domain.host("autoconfig.example.test")
    domain.host("inside.example.test", "10.1.2.3")
    domain.web.pages[OWN] = redirect("https://inside.example.test/")
    assert await domain.finder()(ANNA) == ()


def endless(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        sock.sendall(b"<a>" * 10_000)


def dripping(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        time.sleep(0.05)
        sock.sendall(b" ")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(endless, id="endless"),
        pytest.param(dripping, id="dripping"),
        pytest.param(lambda sock: sock.sendall(b"\x00" * 5_000), id="no_http"),
        pytest.param(lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<"), id="cut"),
        pytest.param(
            lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n"), id="headers"
        ),
        pytest.param(
            lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            id="chunks",
        ),
        pytest.param(lambda _: None, id="nothing"),
    ],
)
async def test_a_hostile_web_server_is_left_out_and_holds_up_nobody(
    domain: Domain, page: Callable[[socket.socket], None]
) -> None:
    domain.host("autoconfig.example.test")
    domain.host("imap.example.test")
    domain.web.pages[OWN] = page
    assert [each.source for each in await domain.finder(1.0)(ANNA)] == [Source.GUESS]


async def test_a_silent_name_server_ends_at_the_deadline_with_what_is_known(domain: Domain) -> None:
    domain.names.silent = True
    assert await domain.finder(0.3)(ANNA) == ()


async def test_junk_from_a_name_server_is_no_answer(domain: Domain) -> None:
    domain.names.junk = b"\xff" * 40
    assert await domain.finder(0.5)(ANNA) == ()


async def test_a_machine_without_a_resolver_knows_the_table_only(domain: Domain) -> None:
    def none() -> Resolver:
        raise NoResolverConfiguration

    finder = Finder(domain.finder().policy, make_resolver=none)
    assert await finder(ANNA) == ()
    assert len(await finder(parse_address("anna@gmx.de"))) == 1


@contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


async def test_the_address_is_in_no_log(domain: Domain, caplog: pytest.LogCaptureFixture) -> None:
    domain.host("autoconfig.example.test")
    domain.host("imap.example.test")
    domain.web.pages[OWN] = document("imap.example.test")
    address = parse_address("canary4711@example.test")
    with everything_logged(caplog):
        found = await domain.finder()(address)
    assert found
    assert "canary4711" not in caplog.text
    assert "canary4711" not in repr(found)
