"""Quotas on the wire: what is too much is refused with the time after which to ask again, and only to its caller."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mailsync_grpc.config import QuotaConfig
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import event_service_pb2, system_service_pb2
from tests.support.api import detail, reason, serving
from tests.support.callers import admit, bearing, token_of

INFO = system_service_pb2.GetServerInfoRequest()


async def test_too_many_calls_are_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    store = MemoryStore()
    admit(store, token_of(1), token_of(2))
    async with serving(store, tmp_path, quota=QuotaConfig(calls_per_second=0.001, burst=2)) as api:
        for _ in range(2):
            await api.system.GetServerInfo(INFO, metadata=bearing(1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await api.system.GetServerInfo(INFO, metadata=bearing(1))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason(caught.value) == "QUOTA"
        assert detail(caught.value, error_details_pb2.RetryInfo).retry_delay.seconds > 900
        await api.system.GetServerInfo(INFO, metadata=bearing(2))


async def test_too_many_streams_are_refused_until_one_ends(tmp_path: Path) -> None:
    store = MemoryStore()
    admit(store, token_of(1), token_of(2))
    async with serving(store, tmp_path, quota=QuotaConfig(streams=1)) as api:

        async def opened(number: int) -> Any:
            stream = api.events.WatchEvents(event_service_pb2.WatchEventsRequest(), metadata=bearing(number))
            await stream.read()
            return stream

        first = await opened(1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await opened(1)
        assert reason(caught.value) == "QUOTA"
        await opened(2)
        first.cancel()
        async with asyncio.timeout(30):
            while True:  # the server hears of it a moment later
                with suppress(grpc.aio.AioRpcError):
                    await opened(1)
                    break


async def test_health_is_watched_without_a_token_and_not_without_end(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, quota=QuotaConfig(streams=1)) as api:
        channel: Any = api.channel
        request = health_pb2.HealthCheckRequest()
        first = health_pb2_grpc.HealthStub(channel).Watch(request)
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Watch(request).read()
        assert reason(caught.value) == "QUOTA"
        await health_pb2_grpc.HealthStub(channel).Check(request)
