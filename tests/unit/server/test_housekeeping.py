"""What housekeeping drops is counted, by its cause, and no fault ends it."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mailsync_grpc.config import Config, StoreConfig
from mailsync_grpc.content.spool import open_spool
from mailsync_grpc.metrics import EVENT_LOG_DROPPED
from mailsync_grpc.server import housekeeping
from mailsync_grpc.services.core import Core
from mailsync_grpc.store.base import KEPT_LOG
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.vault import Vault
from tests.support.store import Mailbox, ManualClock, message_of


def dropped() -> dict[str, float]:
    (metric,) = EVENT_LOG_DROPPED.collect()
    return {each.labels["cause"]: each.value for each in metric.samples if each.name.endswith("_total")}


async def test_messages_left_in_the_spool_are_removed_although_the_disk_failed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SPOOL_EVERY", 0.01)
    core = Core(MemoryStore(), Vault(bytes(32)), Config(data_dir=tmp_path))
    directory = tmp_path / "spool"
    directory.symlink_to(directory)  # which the system refuses to follow
    with capture_logs() as logged:
        task = asyncio.create_task(housekeeping.spool(core, open_spool(core.config, core.vault)))
        async with asyncio.timeout(30):
            while not logged:  # noqa: ASYNC110 - it is a thread's doing
                await asyncio.sleep(0.01)
            directory.unlink()
            directory.mkdir()
            left = directory / "0123"
            left.touch()
            while left.exists():  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    core.close()


async def test_events_that_are_dropped_are_counted_by_cause(tmp_path: Path) -> None:
    clock = ManualClock()
    limits = StoreConfig(log_max_age=2 * KEPT_LOG, log_max_bytes=1 << 20)
    core = Core(MemoryStore(clock), Vault(bytes(32)), Config(data_dir=tmp_path, store=limits), clock)
    box, before = Mailbox.make(core.store), dropped()
    clock.now += KEPT_LOG + 1
    box.add(message_of(1, text="x" * (1 << 20)))
    clock.now += KEPT_LOG + 1
    task = asyncio.create_task(housekeeping.trim(core))
    async with asyncio.timeout(30):
        while sum(dropped().values()) < sum(before.values()) + 3:  # noqa: ASYNC110 - it is a thread's doing
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    core.close()
    assert {cause: count - before[cause] for cause, count in dropped().items()} == {"age": 2, "size": 1}
