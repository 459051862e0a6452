"""ExportEnvelopes: everything that is mirrored, in order, as one stream that goes on after a break."""

from dataclasses import replace
from typing import Any

import grpc
import pytest

from mailsync_grpc.model.changes import EnvelopesRemoved, FolderReset
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.v1 import envelope_pb2, event_service_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, reason
from tests.support.store import Mailbox, message_of
from tests.support.watching import head, watching


async def export(api: Api, parent: str, **request: Any) -> list[pb.ExportEnvelopesResponse]:
    """Return every piece of an export."""
    call = api.envelopes.ExportEnvelopes(pb.ExportEnvelopesRequest(parent=parent, **request))
    return [piece async for piece in call]


def names(pieces: list[pb.ExportEnvelopesResponse]) -> list[str]:
    return [each.name for piece in pieces for each in piece.envelopes]


async def test_an_account_is_exported_whole_and_in_order(api: Api) -> None:
    boxes = [Mailbox.make(api.store, "a", name) for name in ("INBOX", "Sent")]
    Mailbox.make(api.store, "b").add(message_of(1))
    for box in boxes:
        box.backfill(*(message_of(uid) for uid in range(1, 1_501)))
    pieces = await export(api, "accounts/a")
    expected = [f"{box.folder.name}/envelopes/77.{uid}" for box in boxes for uid in range(1, 1_501)]
    assert names(pieces) == expected
    assert [piece.complete for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert [bool(piece.resume_token) for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert pieces[0].envelopes[0].attachments
    only = await export(api, boxes[1].folder.name, view=envelope_pb2.ENVELOPE_VIEW_BASIC)
    assert names(only) == expected[1_500:]
    assert not only[0].envelopes[0].attachments


async def test_an_export_goes_on_after_any_piece(api: Api) -> None:
    for name in ("INBOX", "Sent", "Empty"):
        box = Mailbox.make(api.store, "a", name)
        if name != "Empty":
            box.backfill(*(message_of(uid) for uid in range(1, 2_101)))
    whole = await export(api, "accounts/a")
    for index, piece in enumerate(whole[:-1], 1):
        rest = await export(api, "accounts/a", continue_token=piece.continue_token)
        assert names(rest) == names(whole[index:])
        assert not any(each.resume_token for each in rest)
    assert not whole[-1].continue_token


async def test_export_then_watch_misses_nothing(api: Api) -> None:
    box = Mailbox.make(api.store, "a")
    box.backfill(*(message_of(uid) for uid in range(1, 3_001)))
    call = api.envelopes.ExportEnvelopes(pb.ExportEnvelopesRequest(parent="accounts/a"))
    held: set[int] = set()
    token = ""
    async for piece in call:
        token = token or piece.resume_token
        held |= {each.uid for each in piece.envelopes}
        if len(held) == 1_000:
            box.add(message_of(9_000))
            gone = UidSet.of([1, 2_999])
            api.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, gone),)))
    only = event_service_pb2.EventFilter(accounts=["accounts/a"])
    async with watching(api, resume_token=token, filter=only) as watcher:
        for event in await watcher.until(head(api)):
            held |= {event.envelope_added.envelope.uid} - {0}
            held -= {uid for each in event.envelopes_removed.uids for uid in range(each.first, each.last + 1)}
    assert held == {row.uid for row in box.rows()}


async def test_a_folder_renumbered_on_the_way_is_exported_anew(api: Api) -> None:
    box = Mailbox.make(api.store, "a")
    box.backfill(*(message_of(uid) for uid in range(1, 2_501)))
    call = api.envelopes.ExportEnvelopes(pb.ExportEnvelopesRequest(parent=box.folder.name))
    first = await call.read()
    call.cancel()
    mirror = MirrorNo(api.store.allocate(Counter.MIRROR))
    renumbered = replace(box.folder, version=2, mirror=mirror, uid_validity=78)
    api.store.apply(Batch(box.account.key, (FolderReset(renumbered, box.folder.key),)))
    box.folder = renumbered
    box.backfill(*(message_of(uid) for uid in range(1, 11)))
    rest = await export(api, box.folder.name, continue_token=first.continue_token)
    assert names(rest) == [f"{box.folder.name}/envelopes/78.{uid}" for uid in range(1, 11)]


@pytest.mark.parametrize(
    ("request_", "code", "why"),
    [
        ({"parent": "accounts/none"}, grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        ({"parent": "accounts/a/folders/aaaaaaaaaaaaaaaa"}, grpc.StatusCode.NOT_FOUND, "FOLDER_NOT_FOUND"),
        ({"parent": "a"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"parent": "accounts/a", "view": 9}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (
            {"parent": "accounts/a", "continue_token": "x"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "PAGE_TOKEN_INVALID",
        ),
        (
            {"parent": "accounts/a", "filter": pb.EnvelopeFilter(text=" ")},
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        ),
    ],
    ids=["account", "folder", "parent", "view", "token", "filter"],
)
async def test_what_an_export_cannot_be_is_told(
    api: Api, request_: dict[str, Any], code: grpc.StatusCode, why: str
) -> None:
    Mailbox.make(api.store, "a")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(api, **request_)
    assert (caught.value.code(), reason(caught.value)) == (code, why)


async def test_a_token_continues_its_own_export_only(api: Api) -> None:
    for name in ("a", "b"):
        Mailbox.make(api.store, name).add(message_of(1))
    (first, _) = await export(api, "accounts/a")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(api, "accounts/b", continue_token=first.continue_token)
    assert reason(caught.value) == "PAGE_TOKEN_INVALID"
