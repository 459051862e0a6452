"""Whatever befalls the service, its connections and its log, every watcher ends with the truth, and no stream lies.

`MAILSYNC_FAULT_SECONDS` says for how long things go wrong, `MAILSYNC_FAULT_SEED` repeats a run.
"""

import asyncio
import os
from itertools import cycle, product
from pathlib import Path
from random import Random, randrange

import pytest

from mailsync_grpc.v1 import folder_service_pb2
from tests.support.mail import Mailbox, letters
from tests.support.replica import state_hash
from tests.support.replica_wire import Follower
from tests.support.service import Service, Stubs, running
from tests.support.watch_faults import ACCOUNTS, Faults, filters_of, staged

SECONDS = float(os.environ.get("MAILSYNC_FAULT_SECONDS", "20"))
SEED = int(os.environ.get("MAILSYNC_FAULT_SEED", randrange(1 << 32)))
WATCHERS = 50
PATIENCE = 90.0
pytestmark = pytest.mark.timeout(SECONDS + 2 * PATIENCE)


def registered(service: Service, mailbox: Mailbox) -> str:
    """Mirror the mailbox twice; the name of one INBOX."""
    mailbox.deliver(letters(60))
    mailbox.deliver(letters(30), "Sent")
    with Stubs(service.address) as stubs:
        for name in ACCOUNTS:
            stubs.finish(stubs.register(mailbox, name))
        request = folder_service_pb2.ListFoldersRequest(parent=f"accounts/{ACCOUNTS[0]}")
        folders = stubs.folders.ListFolders(request).folders
    return next(folder.name for folder in folders if folder.path == "INBOX")


def watchers(stage: Faults, inbox: str) -> list[Follower]:
    """Watchers that ask for this or that and begin with lists or with a snapshot, spread over the channels."""
    kinds = list(product(filters_of(inbox), (False, True)))
    return [
        Follower(stage.wires[number % len(stage.wires)], asked, snapshot, Random(SEED + number))
        for number, (asked, snapshot) in zip(range(WATCHERS), cycle(kinds), strict=False)
    ]


async def live(stage: Faults) -> None:
    """Let mail come and go, people edit, and everything go wrong, for as long as was asked."""
    acts = [
        asyncio.ensure_future(stage.repeatedly(stage.change_mail, 0.15)),
        asyncio.ensure_future(stage.repeatedly(stage.sync, 0.5)),
        asyncio.ensure_future(stage.repeatedly(stage.edit, 2.0)),
    ]
    faults = asyncio.ensure_future(stage.misfortunes(SECONDS))
    await asyncio.wait([faults, *acts], return_when=asyncio.FIRST_COMPLETED)
    for act in acts:
        act.cancel()
    ends = await asyncio.gather(faults, *acts, return_exceptions=True)
    assert [end for end in ends if end and not isinstance(end, asyncio.CancelledError)] == []


async def test_every_watcher_ends_with_the_truth_whatever_befalls_it(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    print(f"MAILSYNC_FAULT_SEED={SEED}")
    service = Service(tmp_path / "service")
    with running(service):
        inbox = await asyncio.to_thread(registered, service, mailbox)
        async with staged(service, mailbox, Random(SEED)) as stage:
            stage.followers = watchers(stage, inbox)
            async with asyncio.TaskGroup() as group:
                for follower in stage.followers:
                    group.create_task(follower.run())
                await live(stage)
                async with asyncio.timeout(PATIENCE):
                    newest = await stage.come_to_rest()
                    while not all(follower.reached(newest) for follower in stage.followers):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                for follower in stage.followers:
                    follower.stop()
            await stage.assert_all_know()
    print(summary(stage))
    service.history.settle()
    assert min(stage.happened[fault] for fault in ("kill", "compact", "cut_connections", "leave_streams")) > 0
    assert sum(follower.resyncs for follower in stage.followers) > 0


def summary(stage: Faults) -> str:
    """What happened, for who reads the log of a long run."""
    hashes = {state_hash(each.replica.state())[:12] for each in stage.followers if not each.filter.ByteSize()}
    breaks = sum(follower.breaks for follower in stage.followers)
    resyncs = sum(follower.resyncs for follower in stage.followers)
    return f"{dict(stage.happened)}, {breaks} streams broken, {resyncs} begun anew, state {hashes}"
