"""A snapshot of a mirror that changes under it: with the events that follow, it is the state of one moment."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from mailsync_grpc.model.changes import EnvelopeMoved, EnvelopesRemoved
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api
from tests.support.churn import Churn
from tests.support.following import agree, following
from tests.support.replica_wire import Follower
from tests.support.store import Mailbox, message_of

HELD = 3_000
"""Messages of each folder, several chunks' worth."""


def scanned(responses: list[pb.WatchEventsResponse], folder: str) -> list[int]:
    """The UIDs of a folder that a snapshot has sent."""
    return [
        envelope.uid
        for response in responses
        for envelope in response.snapshot_chunk.envelopes
        if envelope.name.startswith(f"{folder}/")
    ]


class Expunger:
    """After each chunk of a snapshot, removes and moves messages before and behind the scan, and keeps what went."""

    def __init__(self, api: Api, boxes: list[Mailbox]) -> None:
        self.api, self.boxes = api, boxes
        self.responses: list[pb.WatchEventsResponse] = []
        self.left = {box.folder.no: set(range(1, HELD + 1)) for box in boxes}
        self.before = self.behind = 0
        self.uid = HELD

    def heard(self, response: pb.WatchEventsResponse) -> None:
        """Change the folders, if this is a piece of the snapshot."""
        if not response.HasField("snapshot_chunk"):
            return
        self.responses.append(response)
        for box, other in (self.boxes, reversed(self.boxes)):
            sent = self.left[box.folder.no] & {*scanned(self.responses, box.folder.name)}
            unsent = self.left[box.folder.no] - sent
            gone = sorted(sent)[:3] + sorted(unsent)[-3:]
            self.behind, self.before = self.behind + len(sent), self.before + len(unsent)
            self._expunge(box, gone)
            for uid in (sorted(sent)[3:4], sorted(unsent)[-4:-3]):
                self._move(box, other, *uid)

    def _expunge(self, box: Mailbox, uids: list[int]) -> None:
        self.left[box.folder.no] -= {*uids}
        if uids:
            gone = EnvelopesRemoved(box.folder.key, UidSet.of(uids))
            self.api.store.apply(Batch(box.account.key, (gone,)))

    def _move(self, box: Mailbox, other: Mailbox, *uids: int) -> None:
        for uid in uids:
            self.uid += 1
            self.left[box.folder.no].remove(uid)
            moved = message_of(uid, text=box.folder.display_name)._replace(uid=self.uid)
            evidence = MoveEvidence.MESSAGE_ID_SIZE_DATE
            change = EnvelopeMoved(box.folder.key, uid, other.folder.key, moved, evidence)
            self.api.store.apply(Batch(box.account.key, (change,)))


def every(number: int, act: Callable[[], None]) -> Callable[[pb.WatchEventsResponse], None]:
    """Do something at each so-many-th response."""
    heard: list[None] = []

    def count(_: pb.WatchEventsResponse) -> None:
        heard.append(None)
        if len(heard) % number == 0:
            act()

    return count


async def test_snapshot_interleaved_expunge_no_resurrection(api: Api) -> None:
    """A message that is expunged or moved while the snapshot is sent is not there, wherever the scan stood."""
    boxes = [Mailbox.make(api.store, name=name) for name in ("INBOX", "Sent")]
    for box in boxes:
        box.backfill(*(message_of(uid, text=box.folder.display_name) for uid in range(1, HELD + 1)))
    expunger = Expunger(api, boxes)
    follower = Follower(api, snapshot=True, on_response=expunger.heard)
    async with following(api, follower):
        pass
    assert len(expunger.responses) > 2
    assert expunger.before
    assert expunger.behind
    await agree(api, follower)
    for box in boxes:
        held = {uid for uid in follower.replica.flags(box.folder.name) if uid <= HELD}
        assert held == expunger.left[box.folder.no]


@pytest.mark.parametrize("seed", range(4))
async def test_snapshot_then_watch_converges_over_broken_streams(api: Api, seed: int) -> None:
    """A snapshot that is broken off goes on where it was, under one filter or another, while everything changes."""
    churn = Churn(api.store, Random(seed))
    for box in churn.boxes:
        uids = range(100_000, 100_000 + HELD)
        box.backfill(*(message_of(uid, text=box.folder.display_name) for uid in uids))
    folder = churn.boxes[0].folder.name
    filters = [pb.EventFilter(), pb.EventFilter(accounts=["accounts/acme"]), pb.EventFilter(folders=[folder])]
    followers = [Follower(api, each, snapshot=True, random=Random(seed)) for each in filters]
    for follower in followers:
        follower.on_response = every(3, follower.cut)
    async with following(api, *followers):
        for _ in range(150):
            churn.change()
            await asyncio.sleep(0.002)
        for follower in followers:
            follower.on_response = every(1 << 40, follower.cut)
    assert min(follower.breaks for follower in followers) > 0
    await agree(api, *followers)
