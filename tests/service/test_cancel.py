"""A call that is given up, or a server that is told to stop, in the middle of a commit: wholly done or not at all."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store.base import Applied, Batch, Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.api import Api, reason, serving
from tests.support.service import Service, Stubs, running, wait_for
from tests.support.store import EVERYTHING, Mailbox

PATIENCE = 30.0


class SlowStore(MemoryStore):
    """Holds back the batches of API calls until it is told to commit or to refuse them."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.refuses = False

    def apply(self, batch: Batch) -> Applied:
        if batch.answer is not None:
            self.reached.set()
            assert self.go_on.wait(PATIENCE)
            if self.refuses:
                raise StoreFullError("full")
        return super().apply(batch)


@pytest.fixture
def slow() -> Iterator[SlowStore]:
    store = SlowStore()
    yield store
    store.go_on.set()


@pytest.fixture
async def api(slow: SlowStore, tmp_path: Path) -> AsyncIterator[Api]:
    """An API over that store."""
    async with serving(slow, tmp_path) as served:
        yield served


@pytest.fixture
def request_() -> pb.CreateAccountRequest:
    """A call that can have its effect only once."""
    request = pb.CreateAccountRequest(account_id="acme", request_id=str(uuid4()))
    request.account.imap.host = "imap.example.org"
    request.account.auth.password.username, request.account.auth.password.password = "anna", "right"
    return request


async def given_up_in_mid_commit(api: Api, slow: SlowStore, request: pb.CreateAccountRequest) -> None:
    """Make the call and cancel it once its batch has reached the store."""
    call: Any = api.accounts.CreateAccount(request)
    begun = asyncio.ensure_future(call)
    assert await asyncio.to_thread(slow.reached.wait, PATIENCE)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun


def told(store: Store, request_id: str) -> list[EventKind]:
    """The kinds of the events that a request caused."""
    records = store.log(Revision(0), 100_000, EVERYTHING).records
    return [record.kind for record in records if request_id.encode() in record.event]


@pytest.mark.parametrize("repeated", ["meanwhile", "afterwards"])
async def test_cancel_commit(
    api: Api, slow: SlowStore, request_: pb.CreateAccountRequest, repeated: str
) -> None:
    """The commit that was under way is made, and a repeat of the request is given its answer, not a second effect."""
    await given_up_in_mid_commit(api, slow, request_)
    if repeated == "afterwards":
        slow.go_on.set()
        assert await asyncio.to_thread(slow.wait_for_commit, Revision(1), PATIENCE) == 2
    # Were the first call over for the server, this one would be decided anew before the commit is made.
    repeat = asyncio.ensure_future(api.accounts.CreateAccount(request_))
    await asyncio.wait([repeat], timeout=0.2)
    slow.go_on.set()
    answer = await repeat
    assert [account.name for account in slow.accounts()] == [answer.account.name]
    assert told(slow, request_.request_id) == [EventKind.ACCOUNT_CHANGED, EventKind.SYNC_RUN_CHANGED]


async def test_a_cancelled_call_whose_commit_is_refused_leaves_nothing(
    api: Api, slow: SlowStore, request_: pb.CreateAccountRequest
) -> None:
    slow.refuses = True
    await given_up_in_mid_commit(api, slow, request_)
    slow.go_on.set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(request_)
    assert reason(caught.value) == "STORE_FULL"
    assert slow.accounts() == []
    slow.refuses = False
    await api.accounts.CreateAccount(request_)
    assert len(told(slow, request_.request_id)) == 2


def pause_for_ever(address: str, answers: dict[str, bytes | None]) -> None:
    """Pause and resume an account until the server is gone; an answer is None until it is there."""
    with Stubs(address) as stubs:
        while True:
            request = pb.PauseAccountRequest(name="accounts/acme", request_id=str(uuid4()))
            answers[request.request_id] = None
            try:
                answers[request.request_id] = stubs.accounts.PauseAccount(request).SerializeToString()
                stubs.accounts.ResumeAccount(pb.ResumeAccountRequest(name="accounts/acme"))
            except grpc.RpcError:
                return


def test_a_server_told_to_stop_in_mid_commit_has_made_each_change_wholly_or_not_at_all(
    tmp_path: Path,
) -> None:
    store, answers = open_store(tmp_path / "data", exclusive=True), dict[str, bytes | None]()
    Mailbox.make(store)
    store.close()
    service = Service(tmp_path)
    with running(service), ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(pause_for_ever, service.address, answers)
        wait_for(lambda: sum(map(bool, list(answers.values()))) > 20 or None, PATIENCE, "answers")
        assert service.stop() == 0
    store = open_store(tmp_path / "data", exclusive=True)
    for request_id, answer in answers.items():
        recorded = store.recorded_answer(f"anyone {pb.PauseAccountRequest.DESCRIPTOR.full_name}", request_id)
        # One that found the account paused already changed nothing, and nothing was recorded of it.
        assert recorded is None or answer in {None, recorded.response}
        assert len(told(store, request_id)) == (recorded is not None)
    store.close()
