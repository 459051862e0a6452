"""Followers of an API in the test's own process, and what they must know when everything is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mailsync_grpc.v1 import envelope_pb2
from tests.support.api import Api
from tests.support.replica import differences, state_of
from tests.support.replica_wire import Follower, fresh
from tests.support.stream_filter import Wanted
from tests.support.watching import PATIENCE, head


@asynccontextmanager
async def following(api: Api, *followers: Follower) -> AsyncIterator[None]:
    """The followers at work while the block runs; after it they know everything."""
    async with asyncio.timeout(PATIENCE * 2), asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.run())
        yield
        while not all(follower.reached(head(api)) for follower in followers):  # noqa: ASYNC110 - theirs to reach
            await asyncio.sleep(0.02)
        for follower in followers:
            follower.stop()


async def agree(api: Api, *followers: Follower) -> None:
    """Each follower knows what a fresh listing gives, and one without a filter what the store holds."""
    for follower in followers:
        wanted = Wanted.of(follower.filter)
        listed = await fresh(api, wanted)
        assert differences(follower.replica.state(), listed.state()) == []
        if wanted.takes_all() and wanted.view == envelope_pb2.ENVELOPE_VIEW_FULL:
            assert differences(follower.replica.state(), state_of(api.store)) == []
