from ipaddress import ip_address, ip_network

import pytest

from mailsync_grpc.errors import EndpointForbiddenError, ImapUnreachableError
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security, resolve

FORBIDDEN = [
    *(
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.8",
    ),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fc00::1", "ff02::1"),
    *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "::10.0.0.1", "2002:0a00:0001::", "2002:7f00:1::1"),
    *(
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::192.168.0.1",
        "64:ff9b:1:a00:0:100:909:909",
    ),
    *(
        "2001:db8::1",
        "3fff::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:f6f6:f6f6",
        "fec0::1",
        "::ffff:0:10.0.0.1",
    ),
    *("5f00::1", "fe80::1%1", "fe80::1%eth0", "2620:fe::fe%1", "::ffff:169.254.169.254", "2002:a9fe:a9fe::1"),
]
GLOBAL = ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9", "2002:909:909::1"]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_ssrf_guard(address: str) -> None:
    with pytest.raises(EndpointForbiddenError, match=r"imap\.allow_networks"):
        resolve(Endpoint("mail.example", 993), Policy(), lambda _host, _port: [address])


@pytest.mark.parametrize("address", GLOBAL)
def test_ssrf_guard_lets_global_addresses_pass(address: str) -> None:
    assert resolve(Endpoint("mail.example", 993), Policy(), lambda _host, _port: [address]) == (
        ip_address(address),
    )


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1%eth0", "64:ff9b:1::a00:7"])
def test_ssrf_guard_lets_networks_pass_that_the_operator_allows(address: str) -> None:
    networks = ("10.0.0.0/24", "fe80::/10", "64:ff9b:1::/48")
    policy = Policy(allow_networks=tuple(ip_network(network) for network in networks))
    assert resolve(Endpoint("mail.example", 993), policy, lambda _host, _port: [address])


def test_ssrf_guard_connects_to_no_private_address_of_a_name_that_also_has_a_public_one() -> None:
    addresses = resolve(Endpoint("mail.example", 993), Policy(), lambda _host, _port: ["10.0.0.1", "9.9.9.9"])
    assert addresses == (ip_address("9.9.9.9"),)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.1",
        "0",
        "fe80::1%lo",
        "LocalHost",
    ],
)
def test_ssrf_guard_sees_through_the_spellings_of_the_loopback_address(host: str) -> None:
    with pytest.raises(EndpointForbiddenError):
        resolve(Endpoint(host, 993), Policy())


def test_ssrf_guard_resolves_a_name_once_so_that_rebinding_gains_nothing() -> None:
    answers = iter([["9.9.9.9"], ["127.0.0.1"]])
    assert resolve(Endpoint("mail.example", 993), Policy(), lambda _host, _port: next(answers)) == (
        ip_address("9.9.9.9"),
    )
    assert next(answers) == ["127.0.0.1"]


def test_clear_text_is_refused_unless_the_operator_allows_it() -> None:
    endpoint = Endpoint("mail.example", 143, Security.PLAINTEXT)
    with pytest.raises(EndpointForbiddenError, match=r"imap\.allow_plaintext"):
        resolve(endpoint, Policy(), lambda _host, _port: ["9.9.9.9"])
    assert resolve(endpoint, Policy(allow_plaintext=True), lambda _host, _port: ["9.9.9.9"])


@pytest.mark.parametrize(
    "host", ["", "no such host", "a" * 64 + ".example", "xn--\ud800", ".example", "..", "a\x00b"]
)
def test_a_host_that_is_no_name_is_unreachable(host: str) -> None:
    with pytest.raises((ImapUnreachableError, EndpointForbiddenError)):
        resolve(Endpoint(host, 993), Policy())
