"""A desk whose mail server is a real one behind a proxy that spoils its answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.changing import SELDOM, Desk, desk
from tests.support.fault_proxy import FaultProxy, ProxiedMailbox
from tests.support.mail import Mailbox, letters
from tests.support.mirror import Mirror

MESSAGES = 12


@asynccontextmanager
async def proxied_desk(mailbox: Mailbox, directory: Path) -> AsyncIterator[Desk]:
    """A desk over an INBOX of `MESSAGES` messages behind a proxy."""
    mailbox.deliver(letters(MESSAGES))
    with FaultProxy(mailbox) as proxy:
        mirror = Mirror(ProxiedMailbox(mailbox.server, mailbox.user, proxy=proxy), SELDOM)
        mirror.sync.env = replace(mirror.sync.env, draw=lambda: 0.0)  # the shortest waits between tries
        async with desk(mirror, directory) as opened:
            yield opened
        mirror.close()
        proxy.heal()


def proxy(office: Desk) -> FaultProxy:
    """The proxy of a desk."""
    assert isinstance(office.mailbox, ProxiedMailbox)
    assert office.mailbox.proxy is not None
    return office.mailbox.proxy


def held(office: Desk, folder: str = "INBOX") -> list[int]:
    """The UIDs that the mail server holds."""
    return sorted(office.mailbox.flags_by_uid(folder))
