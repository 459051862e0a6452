"""Changes of mail by callers of some accounts: rights count when a change is asked for, and one caller has no end of it."""

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from mailsync_grpc.config import QuotaConfig
from mailsync_grpc.content.spool import Spool
from mailsync_grpc.errors import StoreCorruptError
from mailsync_grpc.model.access import EVERY_SCOPE, Reach, Scope
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState
from mailsync_grpc.services import intents
from mailsync_grpc.services.append import AppendService
from mailsync_grpc.store.base import Batch, TokenEdit
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_service_pb2, folder_service_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, reason, serving
from tests.support.callers import admit, bearing, token_of
from tests.support.store import Mailbox

TENANT = bearing(1)
LETTER = b"Subject: x\r\n\r\nhello\r\n"


@dataclass(frozen=True, slots=True)
class Office:
    """An API without a worker, an account that bears the label of a tenant, and that tenant's token."""

    api: Api
    box: Mailbox

    def move_out(self) -> None:
        """Take the account from the tenant."""
        self.label({})

    def label(self, labels: dict[str, str]) -> None:
        account = self.box.account
        self.box.account = replace(account, version=account.version + 1, labels=labels)
        self.box.store.apply(Batch(account.key, (AccountChanged(self.box.account),)))

    @property
    def open(self) -> list[Intent]:
        """The changes that were asked for."""
        return self.box.store.open_intents(self.box.account.no)

    def ask(self, number: int, **fields: Any) -> None:
        """Store a change as if it was asked for."""
        intent = Intent(self.box.account.key, number, 1, IntentKind.SUBSCRIBE, **fields)
        self.box.store.apply(Batch(self.box.account.key, intents=(intent,)))

    def appending(self, size: int = len(LETTER)) -> Any:
        """An AppendMessage of the tenant, with its header."""
        header = pb.AppendHeader(parent=self.box.folder.name, size=size)
        return header, self.api.envelopes.AppendMessage(metadata=TENANT)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    store = MemoryStore()
    box = Mailbox.make(store, "ours")
    admit(store, token_of(1, *EVERY_SCOPE - {Scope.ADMIN}, reach=Reach(labels={"tenant": "a"})))
    async with serving(store, tmp_path, quota=QuotaConfig(streams=2, changes=2)) as api:
        opened = Office(api, box)
        opened.label({"tenant": "a"})
        yield opened


async def begin_append(office: Office, size: int = len(LETTER)) -> Any:
    """Send header and half of the message."""
    header, call = office.appending(size)
    await call.write(pb.AppendMessageRequest(header=header))
    await call.write(pb.AppendMessageRequest(chunk=LETTER[:5]))
    async with asyncio.timeout(30):
        while not list((office.api.core.config.data_dir / "spool").glob("*")):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.01)
    return call


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason(caught.value)


async def test_a_repeat_tells_nothing_of_an_account_that_the_caller_lost(office: Office) -> None:
    request = folder_service_pb2.SubscribeRequest(name=office.box.folder.name, request_id=str(uuid4()))
    first = asyncio.ensure_future(office.api.folders.Subscribe(request, metadata=TENANT))
    async with asyncio.timeout(30):
        while not office.open:  # noqa: ASYNC110 - the call's doing
            await asyncio.sleep(0.01)
    (intent,) = office.open
    ended = replace(intent, version=2, state=IntentState.ENDED, sent=True)
    office.box.store.apply(Batch(office.box.account.key, intents=(ended,)))
    assert (await first).folder.name == office.box.folder.name
    office.move_out()
    assert await refusal(office.api.folders.Subscribe(request, metadata=TENANT)) == "ACCOUNT_NOT_FOUND"


async def test_a_recorded_answer_tells_nothing_of_an_account_that_the_caller_lost(office: Office) -> None:
    request = folder_service_pb2.SelectFoldersRequest(
        parent=office.box.account.name, deselect=[office.box.folder.name], request_id=str(uuid4())
    )
    first = await office.api.folders.SelectFolders(request, metadata=TENANT)
    assert await office.api.folders.SelectFolders(request, metadata=TENANT) == first
    office.move_out()
    assert await refusal(office.api.folders.SelectFolders(request, metadata=TENANT)) == "ACCOUNT_NOT_FOUND"


async def test_the_removal_of_an_account_may_be_repeated_when_it_is_gone(office: Office) -> None:
    request = account_service_pb2.DeleteAccountRequest(name=office.box.account.name, request_id=str(uuid4()))
    first = await office.api.accounts.DeleteAccount(request, metadata=TENANT)
    assert await office.api.accounts.DeleteAccount(request, metadata=TENANT) == first


async def test_a_message_is_not_added_to_an_account_that_was_lost_while_it_was_sent(office: Office) -> None:
    call = await begin_append(office)
    office.move_out()
    await call.write(pb.AppendMessageRequest(chunk=LETTER[5:]))
    await call.done_writing()
    assert (await refusal(call), office.open) == ("ACCOUNT_NOT_FOUND", [])


async def test_a_message_is_not_added_for_a_token_that_was_revoked_while_it_was_sent(office: Office) -> None:
    call = await begin_append(office)
    office.box.store.access.edit(TokenEdit(drop=(token_of(1).id,)))
    office.api.core.callers.look()
    await call.write(pb.AppendMessageRequest(chunk=LETTER[5:]))
    await call.done_writing()
    assert (await refusal(call), office.open) == ("TOKEN_INVALID", [])


async def test_a_repeat_is_told_that_the_account_was_removed_since(office: Office) -> None:
    request = await begin_subscribe(office)
    office.box.store.apply(Batch(office.box.account.key, (AccountRemoved(office.box.account.key),)))
    assert await refusal(office.api.folders.Subscribe(request, metadata=TENANT)) == "ACCOUNT_NOT_FOUND"


async def test_a_repeat_that_finds_no_trace_of_the_change_is_told_that_nobody_knows(office: Office) -> None:
    """As after a restore from a backup, which leaves out what was on its way."""
    request, again = await begin_subscribe(office), str(uuid4())
    scope = f"intent:{token_of(1).name} {request.DESCRIPTOR.full_name}"
    record = office.box.store.recorded_answer(scope, request.request_id)
    assert record is not None
    nowhere = struct.pack(">IQ", office.box.account.no, 999)
    answer = record._replace(request_id=again, response=nowhere)
    office.box.store.apply(Batch(office.box.account.key, answer=answer))
    request.request_id = again
    assert await refusal(office.api.folders.Subscribe(request, metadata=TENANT)) == "OUTCOME_UNKNOWN"


async def test_a_message_gives_its_room_back_whatever_the_store_meets(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_account: int) -> list[Intent]:
        raise StoreCorruptError("a page of the store")

    limit = office.api.core.config.append.max_spooled_bytes
    spool = Spool(office.api.core.config.data_dir / "spool", bytes(32), limit)
    service = AppendService(office.api.core, intents.Asking(office.api.core, None), spool)  # type: ignore[arg-type]  # nothing is asked
    plan = Intent(office.box.account.key, 0, 0, IntentKind.APPEND, size=limit)

    async def begin_and_leave() -> None:
        async with service._draft(plan) as draft:
            draft.add(LETTER)

    with monkeypatch.context() as patched:
        patched.setattr(office.box.store, "open_intents", broken)
        with pytest.raises(StoreCorruptError):
            await begin_and_leave()
    spool.clean(set)
    await begin_and_leave()


async def begin_subscribe(office: Office) -> folder_service_pb2.SubscribeRequest:
    """Ask for a change and leave; it waits."""
    request = folder_service_pb2.SubscribeRequest(name=office.box.folder.name, request_id=str(uuid4()))
    call = office.api.folders.Subscribe(request, metadata=TENANT)
    async with asyncio.timeout(30):
        while not office.open:  # noqa: ASYNC110 - the call's doing
            await asyncio.sleep(0.01)
    call.cancel()
    return request


async def test_a_caller_that_waits_is_told_when_the_account_is_removed(office: Office) -> None:
    request = folder_service_pb2.SubscribeRequest(name=office.box.folder.name)
    waiting = asyncio.ensure_future(office.api.folders.Subscribe(request, metadata=TENANT))
    async with asyncio.timeout(30):
        while not office.open:  # noqa: ASYNC110 - the call's doing
            await asyncio.sleep(0.01)
        office.box.store.apply(Batch(office.box.account.key, (AccountRemoved(office.box.account.key),)))
        assert await refusal(waiting) == "ACCOUNT_NOT_FOUND"


async def test_messages_being_sent_are_streams_of_the_caller(office: Office) -> None:
    calls = [await begin_append(office) for _ in range(2)]
    assert await refusal(office.appending()[1]) == "QUOTA"
    for call in calls:
        call.cancel()


async def test_a_caller_has_no_end_of_changes_waiting(office: Office) -> None:
    request = folder_service_pb2.SubscribeRequest(name=office.box.folder.name)
    calls = [asyncio.ensure_future(office.api.folders.Subscribe(request, metadata=TENANT)) for _ in range(2)]
    async with asyncio.timeout(30):
        while len(office.open) < len(calls):  # noqa: ASYNC110 - the calls' doing
            await asyncio.sleep(0.01)
    assert await refusal(office.api.folders.Subscribe(request, metadata=TENANT)) == "QUOTA"
    assert len(office.open) == len(calls)
    calls.pop().cancel()
    async with asyncio.timeout(30):
        while await left_waiting(office, request):
            pass


async def left_waiting(office: Office, request: folder_service_pb2.SubscribeRequest) -> bool:
    """Ask for one more change; return whether that is refused, since the caller has too many."""
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await office.api.folders.Subscribe(request, metadata=TENANT, timeout=0.5)
    return ended.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED


async def test_an_account_has_no_end_of_changes_waiting(office: Office) -> None:
    for number in range(intents.MAX_OPEN):
        office.ask(number + 1_000)
    request = folder_service_pb2.SubscribeRequest(name=office.box.folder.name)
    assert await refusal(office.api.folders.Subscribe(request, metadata=TENANT)) == "QUOTA"
    assert len(office.open) == intents.MAX_OPEN


async def test_an_account_has_no_end_of_octets_waiting(office: Office) -> None:
    limit = office.api.core.config.append.max_bytes
    for number in range(intents.MAX_SPOOLED):
        office.ask(number + 1_000, size=limit)
    header, call = office.appending()
    await call.write(pb.AppendMessageRequest(header=header))
    await call.write(pb.AppendMessageRequest(chunk=LETTER))
    await call.done_writing()
    assert await refusal(call) == "QUOTA"
    assert len(office.open) == intents.MAX_SPOOLED
