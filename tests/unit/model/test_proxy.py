"""URLs of proxies: what they name, what is shown of them, what is refused without a word of what it was."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.proxy import Proxy, ProxyKind, parse_proxy


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("socks5://proxy.example:1080", Proxy(ProxyKind.SOCKS5, "proxy.example", 1080)),
        ("http://9.9.9.9:3128/", Proxy(ProxyKind.HTTP, "9.9.9.9", 3128)),
        ("socks5://[2620:fe::fe]:1080", Proxy(ProxyKind.SOCKS5, "2620:fe::fe", 1080)),
        ("http://ann@p.example:8080", Proxy(ProxyKind.HTTP, "p.example", 8080, "ann")),
        ("http://ann:@p.example:8080", Proxy(ProxyKind.HTTP, "p.example", 8080, "ann", "")),
        (
            "socks5://a%40b:p%C3%A4%3Ass@p.example:1",
            Proxy(ProxyKind.SOCKS5, "p.example", 1, "a@b", "pä:ss"),
        ),
    ],
)
def test_a_url_names_a_proxy_and_is_shown_without_its_password(url: str, proxy: Proxy) -> None:
    assert parse_proxy(url) == proxy
    assert parse_proxy(proxy.whole_url) == proxy
    assert parse_proxy(proxy.url) == proxy.with_password(None)
    assert not proxy.password or proxy.password not in proxy.url + repr(proxy)


@pytest.mark.parametrize(
    "url",
    [
        "proxy.example:1080",
        "socks5h://canary@proxy.example:1080",
        "https://proxy.example:443",
        "socks4://proxy.example:1080",
        "socks5://proxy.example",
        "socks5://proxy.example:0",
        "socks5://proxy.example:65536",
        "socks5://:1080",
        "socks5://proxy.example:1080/path",
        "socks5://proxy.example:1080?x",
        "socks5://:canary@proxy.example:1080",
        "socks5://ann:canary\r\n@proxy.example:1080",
        "socks5://ann:canary%0d%0aX@proxy.example:1080",
        "socks5://ann:canary%00@proxy.example:1080",
        "http://a%3Ab:canary@proxy.example:1080",
        "http://ann:canary%ff@proxy.example:1080",
        f"http://ann:{'canary' * 50}@proxy.example:1080",
        "socks5://pro xy:1080",
        "socks5://[fe80::1%25eth0]:1080",
        "http://pröxy.example:80",
    ],
)
def test_what_names_no_proxy_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"socks5://host:port or http://host:port") as caught:
        parse_proxy(url)
    assert "canary" not in str(caught.value)


@given(st.text() | st.from_regex(r"(socks5|http)://([^@]{0,9}@)?[^/]{0,9}:\d{1,6}/?", fullmatch=True))
def test_whatever_is_given_is_a_proxy_that_keeps_its_url_or_refused(url: str) -> None:
    with contextlib.suppress(ValueError):
        proxy = parse_proxy(url)
        assert parse_proxy(proxy.whole_url) == proxy
        assert proxy.whole_url.isprintable()
        assert proxy.url.isascii()
