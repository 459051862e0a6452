"""Killed while it purges, a store keeps what lives, and the purge ends with the rest the next time."""

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mailsync_grpc.model.changes import AccountRemoved, Backfilled, EventKind, FolderReset, FolderSynced
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store.base import Batch, Counter, Store
from mailsync_grpc.store.values import EnvelopePlace
from tests.support.crash import RUNS, Site
from tests.support.crash_child import PURGED_ROWS
from tests.support.store import Mailbox, message_of

MESSAGES = [message_of(uid, "\\Seen") for uid in range(1, 61)]
REBOUND = tuple(message._replace(uid=message.uid + 100) for message in MESSAGES[:30])
FAILPOINTS = ("before_commit", "after_commit")
COMMITS = 90
"""Of such a purge, about: rows of the account, its events, rows of the mirror."""
pytestmark = pytest.mark.timeout(60 + 20 * RUNS)


def renumber(mailbox: Mailbox) -> None:
    """Give the folder a new mirror, in which half of its messages keep their ids, and be done with the old one."""
    mirror = MirrorNo(mailbox.store.allocate(Counter.MIRROR))
    before, folder = mailbox.folder.key, mailbox.folder
    mailbox.folder = replace(folder, version=folder.version + 1, mirror=mirror, uid_validity=78)
    key = mailbox.folder.key
    changes = (
        FolderReset(mailbox.folder, before),
        Backfilled(key, REBOUND),
        FolderSynced(key, len(REBOUND)),
    )
    mailbox.store.apply(Batch(mailbox.account.key, changes))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A store in which an account was removed and another's folder renumbered, neither purged yet."""
    site = Site(tmp_path)
    with closing(site.open()) as store:
        removed, kept = Mailbox.make(store, "removed"), Mailbox.make(store, "kept")
        for mailbox in (removed, kept):
            mailbox.add(*MESSAGES)
        renumber(kept)
        store.apply(Batch(removed.account.key, (AccountRemoved(removed.account.key),)))
    return site


def check_living(store: Store) -> None:
    (account,) = store.accounts()
    ((folder, _),) = store.folders(account.no)
    assert [row.uid for row in store.page(folder, None, 100, 1 << 30, newest_first=False).rows] == [
        message.uid for message in REBOUND
    ]
    for message in REBOUND:
        assert store.locate(account.no, message.envelope_id) == EnvelopePlace(folder.no, message.uid)


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_crash_everywhere_in_purge(site: Site, failpoint: str) -> None:
    for run in range(RUNS):
        site.run_until_killed("purge", f"{failpoint}:{random.Random(run).randint(1, 2 * COMMITS // RUNS)}")
        with closing(site.open()) as store:
            check_living(store)
    with closing(site.open()) as store:
        while store.purge(PURGED_ROWS):
            pass
        check_living(store)
        check_nothing_is_left(store)


def check_nothing_is_left(store: Store) -> None:
    """Of what was dropped remain the coverage of its events and the word that the account was removed."""
    (account,) = store.accounts()
    assert store.stats().envelopes == len(REBOUND)
    records = store.log(Revision(0), 1_000, 1 << 30).records
    told = [record.kind for record in records if record.account != account.no and record.event]
    assert told == [EventKind.ACCOUNT_REMOVED]
