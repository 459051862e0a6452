r"""A message added to a folder on the mail server for a caller: received in pieces, kept sealed, sent, shown."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.config import AppendConfig
from mailsync_grpc.content.sealed import SealedFile
from mailsync_grpc.content.spool import Draft
from mailsync_grpc.model.changes import AccountRemoved
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState
from mailsync_grpc.server.housekeeping import clear_spool
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import envelope_pb2, envelope_service_pb2_grpc
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.agreement import assert_agreed
from tests.support.api import reason, violations
from tests.support.changing import SELDOM, Desk, desk
from tests.support.hostile import HostileServer
from tests.support.hostile_session import FULL
from tests.support.mail import letters
from tests.support.mirror import Mirror

LETTER = b"From: ann@example.org\r\nMessage-ID: <new@example.org>\r\nSubject: drafted\r\n\r\nhello\r\n"
LARGE = b"Message-ID: <large@example.org>\r\n\r\n" + b"0123456789abcdef" * 4 * 40_000 + b"\r\n"
EXTENDED = pytest.param("mailbox", id="extended")


@pytest.fixture(params=[EXTENDED, pytest.param("mailbox_plain", id="plain")])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk over a mailbox with a few letters."""
    mailbox = request.getfixturevalue(request.param)
    mailbox.deliver(letters(3))
    async with desk(Mirror(mailbox, SELDOM), tmp_path) as opened:
        yield opened


def pieces(
    parent: str, octets: bytes, size: int = 0, step: int = 65_000, **fields: object
) -> Iterator[pb.AppendMessageRequest]:
    header = pb.AppendHeader(parent=parent, size=size or len(octets), **fields)  # type: ignore[arg-type] # by name
    yield pb.AppendMessageRequest(header=header)
    for start in range(0, len(octets), step):
        yield pb.AppendMessageRequest(chunk=octets[start : start + step])


async def append(
    office: Desk, octets: bytes, folder: str = "Sent", **fields: object
) -> pb.AppendMessageResponse:
    sent = pieces(office.folder(folder), octets, **fields)  # type: ignore[arg-type] # by name
    response: pb.AppendMessageResponse = await office.api.envelopes.AppendMessage(sent)
    return response


async def refusal(office: Desk, octets: bytes, **fields: object) -> Any:
    """Return what the call is refused with, which may come before all was sent.

    The blocking client asks: the other one sometimes tells in place of it that it could send no more.
    """
    parent = office.folder(str(fields.pop("folder", "Sent")))
    sent = pieces(parent, octets, **fields)  # type: ignore[arg-type] # by name

    def ask() -> grpc.RpcError:
        with grpc.insecure_channel(office.api.address) as channel, pytest.raises(grpc.RpcError) as refused:
            envelope_service_pb2_grpc.EnvelopeServiceStub(channel).AppendMessage(sent)
        return refused.value

    return await asyncio.to_thread(ask)


def held_open(directory: Path) -> list[Path]:
    """Files of a directory that this process has open, deleted ones among them."""
    held = [handle.readlink() for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink()]
    return [path for path in held if path.parent == directory]


def spooled(office: Desk) -> list[Path]:
    directory = office.api.core.config.data_dir / "spool"
    return list(directory.iterdir()) if directory.is_dir() else []


async def test_a_message_is_in_the_folder_and_in_the_mirror_when_the_call_returns(office: Desk) -> None:
    request_id, before = str(uuid.uuid4()), office.mirror.head
    date = Timestamp(seconds=1_500_000_000)
    flags = envelope_pb2.Flags(seen=True, draft=True, keywords=["work"])
    response = await append(office, LETTER, flags=flags, internal_date=date, request_id=request_id)
    assert office.mailbox.flags_by_uid("Sent") == {1: {"\\Seen", "\\Draft", "work"}}
    assert office.mailbox.dates_by_uid("Sent")[1] == datetime.fromtimestamp(1_500_000_000, UTC)
    folder, _ = office.mirror.folder("Sent")
    assert response.name == f"{folder.name}/envelopes/{folder.uid_validity}.1"
    assert (response.uid_validity, response.uid) == (folder.uid_validity, 1)
    (added,) = [event for event in office.events(before) if event.WhichOneof("payload") == "envelope_added"]
    assert added.request_id == request_id
    assert added.envelope_added.envelope.subject == "drafted"
    assert added.revision <= response.visible_revision
    assert_agreed(office.mirror)
    assert spooled(office) == []


async def test_a_large_message_goes_through_in_pieces(office: Desk) -> None:
    response = await append(office, LARGE)
    (envelope,) = office.mirror.envelopes("Sent")
    assert (envelope.uid, envelope.size) == (response.uid, len(LARGE))


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_a_repeat_adds_nothing_and_another_text_is_another_request(office: Desk) -> None:
    request_id = str(uuid.uuid4())
    first = await append(office, LETTER, request_id=request_id)
    assert await append(office, LETTER, request_id=request_id) == first
    with pytest.raises(grpc.aio.AioRpcError) as reused:
        await append(office, LETTER.replace(b"hello", b"jello"), request_id=request_id)
    assert reason(reused.value) == "REQUEST_ID_REUSED"
    assert len(office.mailbox.flags_by_uid("Sent")) == 1
    assert spooled(office) == []


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
@pytest.mark.parametrize(
    ("octets", "fields", "field"),
    [
        (LETTER, {"size": len(LETTER) + 1}, "header.size"),
        (LETTER, {"size": len(LETTER) - 1}, "header.size"),
        (b"Subject: x\r\n\r\nbare\nline\r\n", {}, "chunk"),
        (b"Subject: x\r\n\r\nbare\rline\r\n", {}, "chunk"),
        (b"Subject: x\r\n\r\nnul\0\r\n", {}, "chunk"),
        (b"Subject: x\r\n\r\n\r", {}, "header.size"),
        (LETTER, {"flags": envelope_pb2.Flags(keywords=["a b"])}, "header.flags.keywords"),
        (LETTER, {"flags": envelope_pb2.Flags(labels=["work"])}, "header.flags.labels"),
        (LETTER, {"internal_date": Timestamp(seconds=-1)}, "header.internal_date"),
        (LARGE, {"step": 1_100_000}, "chunk"),
    ],
    ids=["short", "long", "lf", "cr", "nul", "half_line", "flag", "label", "date", "chunk"],
)
async def test_what_is_no_message_is_refused_and_leaves_nothing(
    office: Desk, octets: bytes, fields: dict[str, object], field: str
) -> None:
    assert list(violations(await refusal(office, octets, **fields))) == [field]
    assert office.mailbox.flags_by_uid("Sent") == {}
    assert spooled(office) == []


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_line_ends_may_be_cut_between_chunks(office: Desk) -> None:
    await append(office, LETTER, step=1)
    (envelope,) = office.mirror.envelopes("Sent")
    assert envelope.size == len(LETTER)


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_a_message_beyond_the_limit_is_refused_before_it_is_received(office: Desk) -> None:
    assert reason(await refusal(office, LETTER, size=AppendConfig().max_bytes + 1)) == "QUOTA"


async def test_a_message_beyond_the_mail_servers_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    """Some close the connection on whoever tries."""
    with HostileServer(f"{FULL} APPENDLIMIT={len(LETTER) - 1}") as hostile:
        mirror = Mirror(hostile.mailbox, SELDOM)
        async with desk(mirror, tmp_path) as office:
            error = await refusal(office, LETTER, folder="INBOX")
        mirror.close()
    assert reason(error) == "IMAP_REFUSED"
    assert str(len(LETTER) - 1) in error.details()
    assert hostile.sent(b"APPEND") == []


async def test_a_message_that_the_mail_server_does_not_want_leaves_no_file_open(tmp_path: Path) -> None:
    with HostileServer() as hostile:  # which knows no APPEND
        mirror = Mirror(hostile.mailbox, SELDOM)
        async with desk(mirror, tmp_path) as office:
            assert reason(await refusal(office, LETTER, folder="INBOX")) == "IMAP_REFUSED"
        mirror.close()
    assert held_open(tmp_path / "spool") == []


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_the_message_of_an_account_that_is_removed_leaves_the_spool(office: Desk) -> None:
    spool, account = office.api.services.spool, office.mirror.account
    draft = spool.create(10)
    draft.finish()
    folder = office.mirror.folder("Sent")[0]
    intent = Intent(
        account.key, 1_000, 1, IntentKind.APPEND, IntentState.BEGUN, spool=draft.name, folder=folder.no
    )
    store = office.mirror.store
    store.apply(Batch(account.key, intents=(intent,)))
    store.apply(Batch(account.key, (AccountRemoved(account.key),)))
    clear_spool(store, spool)
    assert len(spooled(office)) == 1, "its call has not ended"
    spool.release(draft, keep=True)
    clear_spool(store, spool)
    assert spooled(office) == []


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_a_caller_that_breaks_off_leaves_nothing(office: Desk) -> None:
    call = office.api.envelopes.AppendMessage()
    requests = pieces(office.folder("Sent"), LARGE)
    for _ in range(5):
        await call.write(next(requests))
    call.cancel()
    response = await append(office, LETTER)
    assert response.uid == 1
    async with asyncio.timeout(30):
        while spooled(office):  # noqa: ASYNC110 - it goes once the handler knows that it was left
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_a_message_is_not_taken_from_under_the_thread_that_writes_it(
    office: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its caller leaves: what is written to a file that was closed goes to whichever has its number by then."""
    order: list[str] = []
    writing, may_end = threading.Event(), threading.Event()
    append, close = SealedFile.append, Draft.close

    def slow(file: SealedFile, octets: bytes) -> None:
        writing.set()
        may_end.wait(30)
        append(file, octets)
        order.append("written")

    def noted(draft: Draft) -> None:
        order.append("closed")
        close(draft)

    monkeypatch.setattr(SealedFile, "append", slow)
    monkeypatch.setattr(Draft, "close", noted)
    call = office.api.envelopes.AppendMessage()
    requests = pieces(office.folder("Sent"), LARGE)
    for _ in range(4):
        await call.write(next(requests))
    await asyncio.to_thread(writing.wait, 30)
    call.cancel()
    threading.Timer(0.5, may_end.set).start()  # the longer, the surer is what goes wrong without waiting
    async with asyncio.timeout(30):
        while len(order) < 2:  # noqa: ASYNC110 - the handler's doing
            await asyncio.sleep(0.01)
    assert order == ["written", "closed"]


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_the_waiting_message_is_unreadable_without_the_key(office: Desk) -> None:
    call = office.api.envelopes.AppendMessage()
    requests = pieces(office.folder("Sent"), LARGE)
    for _ in range(20):
        await call.write(next(requests))
    found: list[Path] = []
    while not found or not found[0].stat().st_size:
        found = spooled(office)
        await call.write(next(requests))
    assert b"0123456789abcdef" not in found[0].read_bytes()
    assert found[0].stat().st_mode & 0o777 == 0o600
    call.cancel()
