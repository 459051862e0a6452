"""Clients that follow by the contract's rules alone end with what a fresh listing gives and what the store holds."""

import asyncio
from random import Random

import pytest

from mailsync_grpc.model.changes import AccountRemoved
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api
from tests.support.churn import Churn
from tests.support.following import agree, following
from tests.support.replica_wire import Follower
from tests.support.store import Mailbox, message_of


@pytest.mark.parametrize("seed", range(6))
async def test_list_then_watch_converges_over_broken_streams(api: Api, seed: int) -> None:
    random = Random(seed)
    churn = Churn(api.store, random)
    gone = Mailbox.make(api.store, "gone")
    gone.add(*map(message_of, range(1, 5)))
    for _ in range(60):
        churn.change()
    folder = churn.boxes[0].folder.name
    filters = [pb.EventFilter(), pb.EventFilter(accounts=["accounts/acme"]), pb.EventFilter(folders=[folder])]
    followers = [Follower(api, each, random=Random(seed)) for each in filters]
    async with following(api, *followers):
        for number in range(150):
            churn.change()
            if number == 70:
                api.store.apply(Batch(gone.account.key, (AccountRemoved(gone.account.key),)))
            if number % 20 == 0:
                random.choice(followers).cut()
            await asyncio.sleep(0.002)
    assert min(follower.breaks for follower in followers) > 0
    await agree(api, *followers)
