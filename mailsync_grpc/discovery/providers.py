"""Large providers and their mail servers, by the domains they give addresses in and by the MX hosts of those they host.

All of them serve IMAP with TLS on port 993. What their servers can and demand is not written here: capabilities say it
at each login (Gmail's labels by X-GM-EXT-1), ID is sent wherever it is offered, a view of the newest messages only is
noticed when it is met, and how much they put up with is in `imap.budget`.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """Kinds of credentials. Values are those of `mailsync.v1.AuthKind`."""

    PASSWORD = 1
    OAUTH = 2


PASSWORD_ONLY = (Kind.PASSWORD,)
_EITHER = (Kind.OAUTH, Kind.PASSWORD)
_OAUTH_ONLY = (Kind.OAUTH,)


class Provider(NamedTuple):
    """One provider's mail server.

    `domains` are those of its addresses; `exchanges` the domains that MX hosts of hosted domains are in. `kinds` are
    the credentials it takes, best first, application passwords being passwords; `oauth` is its name for OAuth 2 in the
    configuration; `by_local_part` says that users log in without the domain.
    """

    host: str
    domains: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = PASSWORD_ONLY
    oauth: str = ""
    by_local_part: bool = False


PROVIDERS = (
    Provider(
        "imap.gmail.com", ("gmail.com", "googlemail.com"), ("google.com", "googlemail.com"), _EITHER, "google"
    ),
    # Microsoft takes no passwords for IMAP any more, neither of organizations (2022) nor of persons (2024).
    Provider(
        "outlook.office365.com",
        (
            "outlook.com",
            "hotmail.com",
            "live.com",
            "msn.com",
            "outlook.de",
            "hotmail.de",
            "hotmail.fr",
            "hotmail.co.uk",
        ),
        ("protection.outlook.com", "mx.microsoft"),
        _OAUTH_ONLY,
        "microsoft",
    ),
    Provider(
        "imap.mail.yahoo.com",
        (
            "yahoo.com",
            "ymail.com",
            "rocketmail.com",
            "yahoo.co.uk",
            "yahoo.de",
            "yahoo.fr",
            "yahoo.es",
            "yahoo.it",
        ),
        ("yahoodns.net",),
        _EITHER,
        "yahoo",
    ),
    Provider("imap.aol.com", ("aol.com", "aim.com"), (), _EITHER, "aol"),
    Provider("imap.mail.me.com", ("icloud.com", "me.com", "mac.com"), by_local_part=True),
    Provider("imap.fastmail.com", ("fastmail.com", "fastmail.fm"), ("messagingengine.com",)),
    Provider("imap.zoho.com", ("zoho.com", "zohomail.com")),
    Provider("imappro.zoho.com", (), ("zoho.com",)),
    Provider("imap.zoho.eu", ("zoho.eu", "zohomail.eu")),
    Provider("imappro.zoho.eu", (), ("zoho.eu",)),
    Provider("imap.gmx.net", ("gmx.de", "gmx.net", "gmx.at", "gmx.ch")),
    Provider("imap.gmx.com", ("gmx.com", "gmx.us", "gmx.co.uk")),
    Provider("imap.mail.com", ("mail.com",)),
    Provider("imap.web.de", ("web.de",)),
    Provider("secureimap.t-online.de", ("t-online.de",)),
    Provider("imap.mailbox.org", ("mailbox.org",), ("mailbox.org",)),
    Provider("posteo.de", ("posteo.de", "posteo.net")),
    Provider("imap.migadu.com", (), ("migadu.com",)),
    Provider(
        "imap.yandex.com",
        ("yandex.com", "yandex.ru", "ya.ru"),
        ("yandex.net", "yandex.ru"),
        _EITHER,
        "yandex",
    ),
    Provider("imap.mail.ru", ("mail.ru", "bk.ru", "inbox.ru", "list.ru"), ("mail.ru",), _EITHER, "mail.ru"),
    Provider("imap.qq.com", ("qq.com", "foxmail.com")),
    Provider("imap.exmail.qq.com", (), ("qq.com",)),
    Provider("imap.163.com", ("163.com",)),
    Provider("imap.126.com", ("126.com",)),
    Provider("imap.orange.fr", ("orange.fr", "wanadoo.fr")),
    Provider("imap.laposte.net", ("laposte.net",)),
)

_BY_DOMAIN = {domain: provider for provider in PROVIDERS for domain in provider.domains}
_BY_EXCHANGE = {domain: provider for provider in PROVIDERS for domain in provider.exchanges}
_BY_HOST = {provider.host: provider for provider in PROVIDERS}


def by_domain(domain: str) -> Provider | None:
    """Return the provider that gives addresses in this domain."""
    return _BY_DOMAIN.get(domain)


def by_host(host: str) -> Provider | None:
    """Return the provider whose mail server this is."""
    return _BY_HOST.get(host)


def by_exchanges(hosts: Iterable[str]) -> Provider | None:
    """Return the provider that one of these MX hosts, best first, belongs to."""
    suffixes = (suffix for host in hosts for suffix in _suffixes(host))
    return next((_BY_EXCHANGE[suffix] for suffix in suffixes if suffix in _BY_EXCHANGE), None)


def _suffixes(host: str) -> list[str]:
    labels = host.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]
