"""What housekeeping drops is counted, by its cause."""

import asyncio
from pathlib import Path

from mailsync_grpc.config import Config, StoreConfig
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
