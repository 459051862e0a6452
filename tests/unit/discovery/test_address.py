"""Addresses: what DNS can hold is taken, in A-labels; the person's part shows nowhere."""

import pytest

from mailsync_grpc.discovery.address import parse_address
from mailsync_grpc.errors import InvalidFieldError


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("anna@example.org", "example.org"),
        ("Anna+lists@EXAMPLE.org", "example.org"),
        ("änna@bücher.example", "xn--bcher-kva.example"),
        ("anna@faß.example", "xn--fa-hia.example"),
        ("anna@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("o'brien@mail.example.co.uk", "mail.example.co.uk"),
    ],
)
def test_a_domain_is_taken_as_dns_holds_it(text: str, domain: str) -> None:
    address = parse_address(text)
    assert (address.text, address.domain) == (text, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "anna",
        "anna@",
        "@example.org",
        "anna@localhost",
        "anna@127.0.0.1",
        "anna@[127.0.0.1]",
        "anna@example..org",
        "anna@example.org.",
        "anna@-example.org",
        "anna@exa mple.org",
        "anna@example.org/path",
        "anna@example.org:25",
        "an na@example.org",
        "an\r\nna@example.org",
        "an\x00na@example.org",
        "a@b@example.org",
        "anna@" + "a" * 64 + ".org",
        "a" * 65 + "@example.org",
        "anna@" + "a." * 130 + "org",
        "anna@" + "ü" * 100_000,
        "anna@\u202eexample.org",
    ],
)
def test_what_is_no_address_is_an_invalid_field(text: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        parse_address(text)
    assert list(caught.value.violations) == ["email_address"]


def test_the_person_shows_in_no_representation() -> None:
    assert "anna" not in repr(parse_address("anna@example.org"))
