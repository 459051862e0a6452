"""What minimal mode did not fetch is fetched by GetEnvelope: once, kept, told as ENVELOPE_UPDATED, whatever races with it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.config import ImapConfig
from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.changes import AccountChanged, EnvelopeUpdated
from mailsync_grpc.model.ids import encode_id, envelope_name
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.store.base import Applied, Batch
from mailsync_grpc.v1 import content_service_pb2, envelope_pb2, event_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from mailsync_grpc.vault import Vault
from tests.support.agreement import assert_agreed
from tests.support.api import KEY, Api, reason, serving
from tests.support.hostile import LOGIN, METADATA, HostileServer
from tests.support.hostile_faults import closing, refusing_message
from tests.support.mirror import Mirror

LOOPBACK = ImapConfig(allow_networks=(ip_network("127.0.0.0/8"),), allow_plaintext=True)
NOT_FETCHED = envelope_pb2.PARTIAL_REASON_NOT_FETCHED


@pytest.fixture
def minimal(hostile: HostileServer) -> Iterator[Mirror]:
    """A mirror in minimal mode of twelve messages, whose account the API can log in to."""
    mirror = Mirror(hostile.mailbox, SyncSettings(batch_size=10, flags_window=10, mode=SyncMode.MINIMAL))
    mirror.mailbox.deliver(messages(12))
    mirror.settle()
    account = mirror.store.account("test")
    assert account is not None
    sealed = Vault(KEY).seal_password(account.no, mirror.mailbox.password)
    after = replace(account, version=account.version + 1, sealed_credentials=sealed)
    mirror.store.apply(Batch(account.key, (AccountChanged(after),)))
    yield mirror
    mirror.sync.close()


@pytest.fixture
async def served(minimal: Mirror, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(minimal.store, tmp_path, imap=LOOPBACK) as api:
        yield api


def named(mirror: Mirror, uid: int) -> str:
    folder, _ = mirror.folder()
    return envelope_name("test", folder.id, folder.uid_validity, uid)


async def get(
    api: Api, name: str, view: envelope_pb2.EnvelopeView.ValueType = envelope_pb2.ENVELOPE_VIEW_FULL
) -> envelope_pb2.Envelope:
    response: pb.GetEnvelopeResponse = await api.envelopes.GetEnvelope(
        pb.GetEnvelopeRequest(name=name, view=view)
    )
    return response.envelope


def updated(mirror: Mirror) -> list[event_pb2.Event]:
    return [event for event in mirror.events() if event.HasField("envelope_updated")]


def in_full(mailbox: HostileServer, uid: int) -> envelope_pb2.Envelope:
    """The message as a mirror of everything shows it."""
    mirror = Mirror(mailbox.mailbox, account_id="full")
    mirror.settle()
    (found,) = (envelope for envelope in mirror.envelopes() if envelope.uid == uid)
    mirror.close()
    return found


async def test_an_envelope_is_fetched_when_it_is_asked_for_and_then_kept(
    minimal: Mirror, hostile: HostileServer, served: Api
) -> None:
    whole = in_full(hostile, 5)
    hostile.received.clear()
    found = await get(served, named(minimal, 5))
    assert found.subject == whole.subject != ""
    for field in ("name", "envelope_id", "uid_validity"):
        whole_value = getattr(found, field)
        setattr(whole, field, whole_value)
    assert found == whole
    again = await get(served, f"accounts/test/envelopes/{found.envelope_id}")
    assert again == found
    assert len(hostile.sent(METADATA)) == 1
    (event,) = updated(minimal)
    assert event.envelope_updated.envelope == found
    assert event.request_id == ""
    assert_agreed(minimal)


async def test_flags_and_lists_are_answered_without_the_mail_server(
    minimal: Mirror, hostile: HostileServer, served: Api
) -> None:
    connections = hostile.connections
    assert not (await get(served, named(minimal, 5), envelope_pb2.ENVELOPE_VIEW_FLAGS)).HasField("partial")
    parent = minimal.folder()[0].name
    page = await served.envelopes.ListEnvelopes(
        pb.ListEnvelopesRequest(parent=parent, view=envelope_pb2.ENVELOPE_VIEW_FULL)
    )
    assert {envelope.partial.reason for envelope in page.envelopes} == {NOT_FETCHED}
    assert hostile.connections == connections
    assert (await get(served, named(minimal, 5), envelope_pb2.ENVELOPE_VIEW_BASIC)).subject
    assert hostile.connections == connections + 1


async def test_callers_who_ask_at_once_share_one_fetch_and_one_event(
    minimal: Mirror, hostile: HostileServer, served: Api
) -> None:
    found = await asyncio.gather(*(get(served, named(minimal, 7)) for _ in range(20)))
    assert all(envelope == found[0] for envelope in found)
    assert len(hostile.sent(METADATA)) == len(updated(minimal)) == 1


async def test_a_caller_who_leaves_takes_the_fetch_from_nobody(
    minimal: Mirror, hostile: HostileServer, served: Api
) -> None:
    leaving = served.envelopes.GetEnvelope(pb.GetEnvelopeRequest(name=named(minimal, 7)))
    staying = asyncio.create_task(get(served, named(minimal, 7)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).subject
    assert len(hostile.sent(METADATA)) == len(updated(minimal)) == 1


async def test_flags_that_change_between_the_fetch_and_its_commit_stay(
    minimal: Mirror, served: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, changes = minimal.store.apply, iter([r"+FLAGS (\Flagged)", r"+FLAGS (\Seen)"])

    def racing(batch: Batch) -> Applied:
        if any(isinstance(change, EnvelopeUpdated) for change in batch.changes):
            for change in changes:
                minimal.mailbox.store("9", change)
                minimal.poll()
                break
        return apply(batch)

    monkeypatch.setattr(minimal.store, "apply", racing)
    found = await get(served, named(minimal, 9))
    assert (found.flags.flagged, found.flags.seen) == (True, True)
    assert found.subject
    assert_agreed(minimal)


async def test_a_full_store_keeps_nothing_and_answers_all_the_same(
    minimal: Mirror, served: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Batch) -> Applied:
        raise StoreFullError("full")

    with monkeypatch.context() as patched:
        patched.setattr(minimal.store, "apply", full)
        assert (await get(served, named(minimal, 9))).subject
    assert updated(minimal) == []


async def test_a_server_that_cannot_be_reached_fails_only_what_needs_it(
    minimal: Mirror, hostile: HostileServer, served: Api
) -> None:
    hostile.always(LOGIN, closing(0))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(served, named(minimal, 5))
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "IMAP_UNREACHABLE")
    assert (await get(served, named(minimal, 5), envelope_pb2.ENVELOPE_VIEW_FLAGS)).uid == 5
    hostile.heal()
    assert (await get(served, named(minimal, 5))).subject


async def test_a_message_that_has_gone_is_told_so(minimal: Mirror, served: Api) -> None:
    minimal.mailbox.expunge("5")
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await get(served, named(minimal, 5))
    assert reason(gone.value) == "ENVELOPE_NOT_FOUND"
    minimal.poll()
    assert_agreed(minimal)


async def test_a_folder_that_was_renumbered_gives_no_message_of_another(
    minimal: Mirror, hostile: HostileServer, served: Api
) -> None:
    hostile.mail.renumber("INBOX", 1_800_000_000)
    with pytest.raises(grpc.aio.AioRpcError) as renumbered:
        await get(served, named(minimal, 6))
    assert reason(renumbered.value) == "UID_VALIDITY_CHANGED"
    minimal.poll()
    assert_agreed(minimal)


async def test_a_message_that_the_server_refuses_stays_as_it_is(
    minimal: Mirror, hostile: HostileServer, served: Api
) -> None:
    hostile.always(METADATA, refusing_message(5))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(served, named(minimal, 5))
    assert reason(caught.value) == "IMAP_REFUSED"
    assert updated(minimal) == []
    assert (await get(served, named(minimal, 6))).subject


async def test_content_needs_no_metadata_beforehand(minimal: Mirror, served: Api) -> None:
    request = content_service_pb2.DownloadContentRequest(
        name=named(minimal, 5), kind=content_service_pb2.CONTENT_KIND_TEXT
    )
    pieces = [piece async for piece in served.content.DownloadContent(request)]
    assert pieces[-1].trailer.size
    assert updated(minimal) == []


async def test_an_envelope_is_found_by_its_lasting_id_before_and_after(minimal: Mirror, served: Api) -> None:
    folder, _ = minimal.folder()
    row = minimal.store.envelope(folder, 4)
    assert row is not None
    found = await get(served, f"accounts/test/envelopes/{encode_id(row.envelope_id)}")
    assert found.envelope_id == encode_id(row.envelope_id)
    assert found.subject
