"""Callers that wait for their changes: each is told, and who leaves leaves nothing behind."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailsync_grpc.config import Config
from mailsync_grpc.errors import AccountNotFoundError, StoreCorruptError
from mailsync_grpc.model.changes import AccountRemoved
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.intent_ends import Ends
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.vault import Vault
from tests.support.store import Mailbox


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    core = Core(MemoryStore(), Vault(bytes(32)), Config(data_dir=tmp_path))
    yield core
    core.close()


def asked(core: Core, number: int, account: str = "acme") -> Intent:
    box = Mailbox.make(core.store, account, f"folder {number}")
    intent = Intent(box.account.key, number, 1, IntentKind.SUBSCRIBE)
    core.store.apply(Batch(intent.account, intents=(intent,)))
    return intent


def end(core: Core, intent: Intent) -> Intent:
    ended = replace(intent, version=intent.version + 1, state=IntentState.ENDED)
    core.store.apply(Batch(intent.account, intents=(ended,)))
    return ended


async def waiting(ends: Ends, *intents: Intent) -> list[asyncio.Task[Intent]]:
    """Callers of these changes, all of which wait."""
    callers = [asyncio.create_task(ends.of(intent)) for intent in intents]
    async with asyncio.timeout(30):
        while len(ends._waiting) < len({intent.no for intent in intents}) or ends._watch is None:  # noqa: ASYNC110 - theirs to do
            await asyncio.sleep(0.01)
    return callers


async def test_each_caller_is_told_of_its_own_change_and_both_of_one(core: Core) -> None:
    ends, one, other = Ends(core), asked(core, 1), asked(core, 2)
    first, second, third = await waiting(ends, one, one, other)
    ended = end(core, one)
    assert (await first, await second) == (ended, ended)
    assert not third.done()
    assert end(core, other) == await third
    assert ends._waiting == {}


async def test_callers_of_a_removed_account_are_told_and_those_of_others_wait(core: Core) -> None:
    ends, gone, other = Ends(core), asked(core, 1, "gone"), asked(core, 2)
    first, second = await waiting(ends, gone, other)
    core.store.apply(Batch(gone.account, (AccountRemoved(gone.account),)))
    with pytest.raises(AccountNotFoundError):
        await first
    assert not second.done()
    end(core, other)
    await second


async def test_a_caller_that_leaves_is_waited_for_no_more(core: Core) -> None:
    ends = Ends(core)
    (caller,) = await waiting(ends, asked(core, 1))
    watch = ends._watch
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert ends._waiting == {}
    assert watch is not None
    async with asyncio.timeout(30):
        await watch


async def test_a_store_that_fails_is_told_to_each_and_the_next_caller_waits_anew(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise StoreCorruptError("a page of the store")

    ends, one, other = Ends(core), asked(core, 1), asked(core, 2)
    callers = await waiting(ends, one, other)
    with monkeypatch.context() as patched:
        patched.setattr(core.store, "wait_for_intents", broken)
        told = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(error) for error in told] == [StoreCorruptError] * 2
    assert ends._waiting == {}
    again = asyncio.create_task(ends.of(one))
    await asyncio.sleep(0)
    ended = await asyncio.to_thread(end, core, one)
    async with asyncio.timeout(30):
        assert await again == ended
