"""Callers: who is let in, what is in their reach, and how soon a change of either is noticed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mailsync_grpc.config import Config, TlsConfig
from mailsync_grpc.errors import UnauthenticatedError
from mailsync_grpc.model.access import EVERY_SCOPE, HOUR_MILLIS, Reach, Scope
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved
from mailsync_grpc.services.callers import Caller, Callers
from mailsync_grpc.store.base import AccessTable, Batch, TokenEdit
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.memory_access import MemoryAccess
from tests.support.callers import admit, token_of
from tests.support.store import START, Mailbox, ManualClock, account_of

NOW = int(START * 1_000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class WatchedAccess(MemoryAccess):
    """Notes what is written and counts what is read."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.written: list[TokenEdit] = []
        self.reads = 0

    def edit(self, edit: TokenEdit) -> None:
        self.written.append(edit)
        super().edit(edit)

    def table(self) -> AccessTable:
        self.reads += 1
        return super().table()

    def version(self) -> int:
        self.reads += 1
        return super().version()


class WatchedStore(MemoryStore):
    """A store whose access tokens are watched."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.access: WatchedAccess = WatchedAccess(self._lock, self._answers, clock)


@pytest.fixture
def store(clock: ManualClock) -> WatchedStore:
    return WatchedStore(clock)


def caller_of(store: WatchedStore, clock: ManualClock, reach: Reach) -> Caller:
    admit(store, token_of(1, Scope.READ_METADATA, reach=reach))
    return Callers(store, Config(), clock).identify("secret-1")


def relabelled(box: Mailbox, **labels: str) -> None:
    box.account = replace(box.account, version=box.account.version + 1, labels=labels)
    box.store.apply(Batch(box.account.key, (AccountChanged(box.account),)))


def test_a_machine_without_any_token_lets_its_own_users_in(store: WatchedStore) -> None:
    callers = Callers(store, Config())
    assert callers.identify(None).scopes == EVERY_SCOPE
    assert callers.identify("whatever").visible is None


@pytest.mark.parametrize(
    "config",
    [
        Config(token=SecretStr("t")),
        Config(tls=TlsConfig(cert_file=Path("c"), key_file=Path("k"))),
        Config(listen="0.0.0.0:1", tls=TlsConfig(cert_file=Path("c"), key_file=Path("k"))),
    ],
    ids=["token set", "TLS", "reachable from elsewhere"],
)
def test_elsewhere_nobody_is_let_in_without_a_token(store: WatchedStore, config: Config) -> None:
    callers = Callers(store, config)
    for secret in (None, "", "wrong"):
        with pytest.raises(UnauthenticatedError):
            callers.identify(secret)


def test_the_first_token_closes_the_door_for_good(store: WatchedStore) -> None:
    callers = Callers(store, Config())
    before = callers.identify(None)
    admit(store, token_of(1))
    callers.look()
    assert not before.valid
    store.access.edit(TokenEdit(drop=(token_of(1).id,)))
    callers.look()
    for secret in (None, "secret-1"):
        with pytest.raises(UnauthenticatedError):
            callers.identify(secret)


def test_the_token_of_the_settings_may_do_everything(store: WatchedStore) -> None:
    caller = Callers(store, Config(token=SecretStr("t"))).identify("t")
    assert (caller.name, caller.scopes, caller.visible) == ("config", EVERY_SCOPE, None)
    assert caller.valid


def test_a_token_is_valid_until_it_is_revoked(store: WatchedStore, clock: ManualClock) -> None:
    admit(store, token_of(1, Scope.READ_CONTENT), token_of(2))
    callers = Callers(store, Config(), clock)
    caller = callers.identify("secret-1")
    assert (caller.name, caller.scopes) == (token_of(1).name, frozenset({Scope.READ_CONTENT}))
    store.access.edit(TokenEdit(drop=(token_of(1).id,)))
    callers.look()
    assert not caller.valid
    with pytest.raises(UnauthenticatedError):
        callers.identify("secret-1")


def test_a_token_ends_by_itself_when_it_expires(store: WatchedStore, clock: ManualClock) -> None:
    admit(store, token_of(1, expire_time=NOW + 1_000))
    caller = Callers(store, Config(), clock).identify("secret-1")
    valid = [caller.valid]
    clock.now += 1
    valid.append(caller.valid)
    assert valid == [True, False]
    with pytest.raises(UnauthenticatedError):
        caller.callers.identify("secret-1")


def test_an_unlimited_token_sees_every_account(store: WatchedStore, clock: ManualClock) -> None:
    caller = caller_of(store, clock, Reach())
    assert caller.visible is None
    assert caller.allows(account_of(store))


def test_a_token_of_some_accounts_sees_those_alone(store: WatchedStore, clock: ManualClock) -> None:
    ours, theirs = Mailbox.make(store, "ours").account, Mailbox.make(store, "theirs").account
    caller = caller_of(store, clock, Reach((ours.key,)))
    assert caller.visible == frozenset({ours.no})
    assert (caller.allows(ours), caller.allows(theirs)) == (True, False)


def test_an_account_made_anew_under_the_same_id_is_not_the_tokens(
    store: WatchedStore, clock: ManualClock
) -> None:
    old = Mailbox.make(store).account
    caller = caller_of(store, clock, Reach((old.key,)))
    store.apply(Batch(old.key, (AccountRemoved(old.key),)))
    new = Mailbox.make(store).account
    caller.callers.look()
    assert new.id == old.id
    assert not caller.allows(new)
    assert new.no not in (caller.visible or ())


def test_a_token_of_labels_sees_the_accounts_that_bear_all_of_them(
    store: WatchedStore, clock: ManualClock
) -> None:
    boxes = [Mailbox.make(store, name) for name in ("both", "one", "none")]
    relabelled(boxes[0], tenant="a", kind="sales")
    relabelled(boxes[1], tenant="a")
    caller = caller_of(store, clock, Reach(labels={"tenant": "a", "kind": "sales"}))
    assert caller.visible == frozenset({boxes[0].account.no})
    assert [caller.allows(box.account) for box in boxes] == [True, False, False]


def test_accounts_and_labels_together_must_both_fit(store: WatchedStore, clock: ManualClock) -> None:
    first, second = Mailbox.make(store, "first"), Mailbox.make(store, "second")
    relabelled(first, tenant="a")
    relabelled(second, tenant="a")
    caller = caller_of(store, clock, Reach((first.account.key,), {"tenant": "a"}))
    assert caller.visible == frozenset({first.account.no})
    assert not caller.allows(second.account)
    relabelled(first)
    caller.callers.look()
    assert caller.visible == frozenset()


def test_what_a_token_of_labels_sees_follows_them_and_its_version_tells(
    store: WatchedStore, clock: ManualClock
) -> None:
    box, other = Mailbox.make(store, "box"), Mailbox.make(store, "other")
    caller = caller_of(store, clock, Reach(labels={"tenant": "a"}))
    seen = [(caller.visible, caller.version)]

    def look() -> tuple[set[int], bool]:
        caller.callers.look()
        seen.append((caller.visible, caller.version))
        return set(seen[-1][0] or ()), seen[-1][1] != seen[-2][1]

    relabelled(box, tenant="a")
    assert look() == ({box.account.no}, True)
    relabelled(other, tenant="b")
    assert look() == ({box.account.no}, False)
    relabelled(box, tenant="b")
    assert look() == (set(), True)
    assert caller.valid


def test_an_older_sight_in_place_of_a_newer_one_hides_no_change(
    store: WatchedStore, clock: ManualClock
) -> None:
    box = Mailbox.make(store, "box")
    caller = caller_of(store, clock, Reach(labels={"tenant": "a"}))
    stale = caller.callers.sight(caller)
    relabelled(box, tenant="a")
    caller.callers.look()
    seen = caller.version, caller.visible
    assert stale is not None
    caller.callers._sights[caller.name] = stale  # as a thread does that was overtaken
    other = Mailbox.make(store, "other")
    relabelled(other, tenant="a")
    caller.callers.look()
    assert caller.visible != seen[1]
    assert caller.version != seen[0]


@pytest.mark.parametrize("reach", [Reach(), Reach(())], ids=["everything", "some accounts"])
def test_what_does_not_follow_labels_keeps_its_version(
    store: WatchedStore, clock: ManualClock, reach: Reach
) -> None:
    caller = caller_of(store, clock, reach)
    before = caller.version
    relabelled(Mailbox.make(store), tenant="a")
    caller.callers.look()
    assert caller.version == before


def test_the_last_use_is_noted_to_the_hour_and_written_once_an_hour(
    store: WatchedStore, clock: ManualClock
) -> None:
    admit(store, token_of(1), token_of(2))
    callers = Callers(store, Config(), clock)
    store.access.written.clear()
    for _ in range(3):
        callers.identify("secret-1")
        callers.look()
    hour = NOW // HOUR_MILLIS * HOUR_MILLIS
    assert [edit.used for edit in store.access.written] == [((token_of(1).id, hour),)]
    assert [token.last_used for token in store.access.table().tokens] == [hour, 0]
    clock.now += 3_600
    callers.identify("secret-1")
    callers.look()
    assert store.access.table().tokens[0].last_used == hour + HOUR_MILLIS


def test_calls_read_nothing_of_the_store(store: WatchedStore, clock: ManualClock) -> None:
    admit(store, token_of(1, reach=Reach(labels={"tenant": "a"})))
    callers = Callers(store, Config(), clock)
    version = store.access.version()
    before = store.access.reads
    caller = callers.identify("secret-1")
    assert (caller.valid, caller.visible, caller.version) == (True, frozenset(), version)
    assert store.access.reads == before
