"""The window of an account: given when it is made, changed and lifted while it runs, refused by name where it is wrong."""

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.model.window import EVERYTHING, Window
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import create
from tests.support.api import Api, violations


def settings(window: account_pb2.Window) -> account_pb2.SyncSettings:
    return account_pb2.SyncSettings(window=window)


def sliding(days: int = 0, months: int = 0, years: int = 0) -> account_pb2.Window:
    return account_pb2.Window(sliding=account_pb2.SlidingWindow(days=days, months=months, years=years))


@pytest.mark.parametrize(
    ("window", "stored"),
    [
        (account_pb2.Window(since=Timestamp(seconds=1_700_000_000)), Window(since=1_700_000_000)),
        (sliding(months=6, days=10), Window(months=6, days=10)),
        (sliding(years=2), Window(years=2)),
        (account_pb2.Window(newest=5_000), Window(newest=5_000)),
    ],
)
async def test_a_window_is_stored_and_told_as_it_was_given(
    api: Api, window: account_pb2.Window, stored: Window
) -> None:
    created = await create(api, sync=settings(window))
    assert created.sync.window == window
    account = api.store.account("acme")
    assert account is not None
    assert account.settings.window == stored


async def test_a_moment_within_a_second_leaves_that_second_out(api: Api) -> None:
    created = await create(api, sync=settings(account_pb2.Window(since=Timestamp(seconds=9, nanos=1))))
    assert created.sync.window.since == Timestamp(seconds=10)


@pytest.mark.parametrize(
    ("window", "field"),
    [
        (account_pb2.Window(since=Timestamp(seconds=0)), "since"),
        (account_pb2.Window(since=Timestamp(seconds=-5)), "since"),
        (account_pb2.Window(since=Timestamp(seconds=1 << 40)), "since"),
        (account_pb2.Window(newest=0), "newest"),
        (account_pb2.Window(newest=10_000_001), "newest"),
        (sliding(), "sliding"),
        (sliding(days=36_526), "sliding.days"),
        (sliding(months=1_201), "sliding.months"),
        (sliding(years=101), "sliding.years"),
    ],
)
async def test_a_window_that_is_none_is_refused_by_name(
    api: Api, window: account_pb2.Window, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, sync=settings(window))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert set(violations(caught.value)) == {f"account.sync.window.{field}"}


async def test_a_window_is_changed_and_lifted_without_touching_other_settings(api: Api) -> None:
    created = await create(api, sync=account_pb2.SyncSettings(batch_size=300))
    change = account_pb2.Account(name=created.name, sync=settings(sliding(days=90)))
    assert await _update(api, change) == Window(days=90)
    assert await _update(api, account_pb2.Account(name=created.name)) == EVERYTHING
    account = api.store.account("acme")
    assert account is not None
    assert account.settings.batch_size == 300
    assert len(api.mail.tried) == 1


async def _update(api: Api, change: account_pb2.Account) -> Window:
    request = pb.UpdateAccountRequest(account=change, update_mask=FieldMask(paths=["sync.window"]))
    await api.accounts.UpdateAccount(request)
    account = api.store.account("acme")
    assert account is not None
    return account.settings.window
