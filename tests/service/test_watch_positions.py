"""Where a watch may begin: after any response, from a list's token; a position that is none, or gone, is told."""

from typing import Any

import grpc
import pytest

from mailsync_grpc.model.changes import EnvelopesRemoved
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import envelope_pb2, event_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as list_pb
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api, reason
from tests.support.store import Mailbox, all_rows, message_of
from tests.support.watching import OLDEST, head, refused, watching


async def test_a_stream_resumes_after_any_response(api: Api) -> None:
    box = Mailbox.make(api.store)
    async with watching(api, oldest=OLDEST) as watcher:
        for uid in range(1, 20):
            box.add(message_of(uid))
            await watcher.until(head(api))
    for response in watcher.responses:
        async with watching(api, resume_token=response.resume_token) as resumed:
            assert resumed.responses[0].from_revision == response.through_revision
            rest = await resumed.until(head(api))
        assert [event.revision for event in rest] == list(range(response.through_revision + 1, head(api) + 1))


async def test_resume_token_other_filter_rejected(api: Api) -> None:
    Mailbox.make(api.store)
    async with watching(api, filter=pb.EventFilter(accounts=["accounts/acme"])) as watcher:
        token = watcher.token
    error = await refused(api, resume_token=token)
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_MISMATCH")
    async with watching(api, resume_token=token, filter=pb.EventFilter(accounts=["accounts/acme"] * 2)):
        pass  # the same filter, written otherwise


@pytest.mark.parametrize("token", ["x", "AAAA", "", "é"])
async def test_a_token_of_no_server_is_refused(api: Api, token: str) -> None:
    error = await refused(api, resume_token=token)
    assert reason(error) == "RESUME_TOKEN_INVALID"


async def test_revision_zero_and_future(api: Api) -> None:
    Mailbox.make(api.store)
    log = await api.events.GetEventLog(pb.GetEventLogRequest(after_revision=0))
    assert [event.revision for event in log.events] == [1, 2]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.events.GetEventLog(pb.GetEventLogRequest(after_revision=3))
    assert (caught.value.code(), reason(caught.value)) == (
        grpc.StatusCode.OUT_OF_RANGE,
        "REVISION_IN_FUTURE",
    )
    tokens = ResumeTokens(api.core.vault, api.store.epoch)
    error = await refused(api, resume_token=tokens.of_list(Position(Revision(3), 0), None))
    assert reason(error) == "REVISION_IN_FUTURE"
    async with watching(api, resume_token=tokens.of_list(Position(Revision(0), 0), None)) as watcher:
        assert len(await watcher.until(2)) == 2


async def test_rollback_noticed(api: Api) -> None:
    Mailbox.make(api.store)
    tokens = ResumeTokens(api.core.vault, api.store.epoch)
    error = await refused(api, resume_token=tokens.of_list(Position(Revision(2), 4711), None))
    assert reason(error) == "REVISION_IN_FUTURE"


async def test_a_token_of_before_a_restore_is_refused(api: Api) -> None:
    error = await refused(
        api, resume_token=ResumeTokens(api.core.vault, bytes(16)).of_list(Position(Revision(0), 0), None)
    )
    assert (error.code(), reason(error)) == (grpc.StatusCode.OUT_OF_RANGE, "STORE_EPOCH_CHANGED")


async def test_list_pages_while_mutating_converges(api: Api) -> None:
    """List-then-watch as the contract describes it ends with exactly what the store holds."""
    box = Mailbox.make(api.store)
    for uid in range(1, 101):
        box.add(message_of(uid))
    listed: dict[int, tuple[int, envelope_pb2.Envelope]] = {}
    token, start = "", ""
    uid = 100
    while True:
        page = await api.envelopes.ListEnvelopes(
            list_pb.ListEnvelopesRequest(parent=box.folder.name, page_size=9, page_token=token)
        )
        start = start or page.resume_token
        for envelope in page.envelopes:
            listed[envelope.uid] = (page.read_revision, envelope)
        uid += 1
        box.add(message_of(uid))
        box.flag(uid - 50, NO_FLAGS, Flags.of(["\\Flagged"]))
        box.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, UidSet.of([uid - 99])),)))
        token = page.next_page_token
        if not token:
            break
    async with watching(
        api, resume_token=start, filter=pb.EventFilter(accounts=["accounts/acme"])
    ) as watcher:
        events = await watcher.until(head(api))
    for event in events:
        apply(listed, event)
    rows = all_rows(api.store, box.folder)
    assert sorted(listed) == [row.uid for row in rows]
    assert {uid for uid, (_, envelope) in listed.items() if envelope.flags.flagged} == {
        row.uid for row in rows if envelope_pb2.Envelope.FromString(row.flags).flags.flagged
    }


def apply(listed: dict[int, tuple[int, envelope_pb2.Envelope]], event: event_pb2.Event) -> None:
    """Do what the contract asks of a client: apply an event where it is newer than the item's page."""
    match event.WhichOneof("payload"):
        case "envelope_added":
            envelope = event.envelope_added.envelope
            listed[envelope.uid] = (event.revision, envelope)
        case "flags_changed" if (known := listed.get(event.flags_changed.uid)) and known[0] < event.revision:
            known[1].flags.CopyFrom(event.flags_changed.flags)
        case "envelopes_removed":
            for each in event.envelopes_removed.uids:
                for uid in range(each.first, each.last + 1):
                    listed.pop(uid, None)


async def test_a_token_of_a_list_holds_for_filters_within_the_list(api: Api) -> None:
    box, _ = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "b")
    page = await api.envelopes.ListEnvelopes(list_pb.ListEnvelopesRequest(parent=box.folder.name))
    async with watching(
        api, resume_token=page.resume_token, filter=pb.EventFilter(folders=[box.folder.name])
    ):
        pass
    others: list[dict[str, Any]] = [
        {},
        {"accounts": ["accounts/b"]},
        {"accounts": ["accounts/a", "accounts/b"]},
    ]
    for wanted in others:
        error = await refused(api, resume_token=page.resume_token, filter=pb.EventFilter(**wanted))
        assert reason(error) == "FILTER_MISMATCH"
