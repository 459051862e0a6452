r"""The whole service against Dovecot: what the API lists, what the events tell, and what an independent reading says.

`mailsync serve` runs as users run it; the independent reading is plain imaplib and the email package.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import field_mask_pb2

from mailsync_grpc.cli.demo.mailbox import deliveries, messages
from mailsync_grpc.v1 import (
    account_pb2,
    account_service_pb2,
    envelope_pb2,
    envelope_service_pb2,
    event_pb2,
    event_service_pb2,
    folder_pb2,
    folder_service_pb2,
)
from tests.support.mail import Mailbox
from tests.support.reading import Read, read_folder
from tests.support.service import Service, Stubs, running, wait_for

UNREADABLE = "\ufffd"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service for this module."""
    with running(Service(tmp_path_factory.mktemp("service") / "home")) as started:
        yield started


@pytest.fixture
def stubs(service: Service) -> Iterator[Stubs]:
    """Stubs of it."""
    with Stubs(service.address) as made:
        yield made


def folders(stubs: Stubs, account: str) -> dict[str, folder_pb2.Folder]:
    request = folder_service_pb2.ListFoldersRequest(parent=f"accounts/{account}")
    return {folder.path: folder for folder in stubs.folders.ListFolders(request).folders}


def listed(stubs: Stubs, folder: str) -> dict[int, envelope_pb2.Envelope]:
    """List a folder page by page."""
    found: dict[int, envelope_pb2.Envelope] = {}
    token = ""
    while True:
        page = stubs.envelopes.ListEnvelopes(
            envelope_service_pb2.ListEnvelopesRequest(
                parent=folder, view=envelope_pb2.ENVELOPE_VIEW_FULL, page_size=70, page_token=token
            )
        )
        found |= {envelope.uid: envelope for envelope in page.envelopes}
        token = page.next_page_token
        if not token:
            return found


def flag_names(flags: envelope_pb2.Flags) -> frozenset[str]:
    system = (name for name in ("seen", "answered", "flagged", "deleted", "draft") if getattr(flags, name))
    return frozenset([f"\\{name.capitalize()}" for name in system] + list(flags.keywords))


def agrees(envelope: envelope_pb2.Envelope, read: Read) -> None:
    """Assert that the envelope says what the message says."""
    assert flag_names(envelope.flags) == read.flags
    assert envelope.size == read.size
    assert envelope.internal_date.seconds == read.internal_date
    assert " ".join(envelope.subject.split()) == read.subject
    assert envelope.message_id == read.message_id
    if read.date is not None:
        assert envelope.header_date.seconds == int(read.date)
    for field, addresses in read.addresses.items():
        attribute = field.lower().replace("-", "_")
        mine = [address.address for address in getattr(envelope, attribute)]
        # RFC 3501 section 7.4.2: an absent Reply-To is shown as From.
        theirs = addresses if addresses or field != "Reply-To" else read.addresses["From"]
        assert mine == [address for address in theirs if address], field
    mine_attached = {(a.file_name, f"{a.media_type}/{a.media_subtype}") for a in envelope.attachments}
    for name, media_type in filter(lambda attached: attached[0], read.attachments):
        if UNREADABLE in name:
            # The email package gives up on raw octets; what it could read must begin the name.
            start = name.partition(UNREADABLE)[0]
            assert any(mine.startswith(start) and kind == media_type for mine, kind in mine_attached)
        else:
            assert (name, media_type) in mine_attached


def test_every_message_is_listed_as_an_independent_reading_says(stubs: Stubs, mailbox: Mailbox) -> None:
    mailbox.deliver(deliveries(300))
    mailbox.deliver(deliveries(40, seed=3), "Sent")
    stubs.finish(stubs.register(mailbox, "reading"))
    for path in ("INBOX", "Sent"):
        envelopes = listed(stubs, folders(stubs, "reading")[path].name)
        with mailbox.connect() as client:
            read = read_folder(client, path)
        assert envelopes.keys() == read.keys()
        for uid, envelope in envelopes.items():
            agrees(envelope, read[uid])


def test_replaying_the_event_log_gives_the_listing_and_the_server(stubs: Stubs, mailbox: Mailbox) -> None:
    rng = random.Random(11)
    mailbox.deliver(deliveries(80))
    stubs.finish(stubs.register(mailbox, "replay"))
    for _ in range(5):
        for _ in range(60):
            _change(mailbox, rng)
        stubs.sync("replay", full=True)
    known = folders(stubs, "replay")
    for path in ("INBOX", "Sent"):
        envelopes = listed(stubs, known[path].name)
        server = mailbox.flags_by_uid(path)
        assert {uid: flag_names(envelope.flags) for uid, envelope in envelopes.items()} == server
        assert _replayed(stubs, "replay", known[path].name) == server


def test_a_service_killed_in_mid_backfill_resumes_with_nothing_lost_or_doubled(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    mailbox.deliver(messages(4_000))
    with running(Service(tmp_path / "home")) as service:
        with Stubs(service.address) as stubs:
            run = stubs.register(mailbox, "killed")
            wait_for(lambda: folders(stubs, "killed").get("INBOX"), 20, "the folder")
            wait_for(lambda: _stored(stubs) or None, 20, "the first batch")
        service.kill()
        service.start()
        with Stubs(service.address) as stubs:
            stubs.finish(run)
            inbox = folders(stubs, "killed")["INBOX"].name
            assert listed(stubs, inbox).keys() == set(range(1, 4_001))
            told = [
                uid
                for event in _events(stubs, "killed")
                for r in event.backfilled.uids
                for uid in range(r.first, r.last + 1)
            ]
            assert sorted(told) == list(range(1, 4_001))


def test_live_events_arrive_while_the_mailbox_changes(stubs: Stubs, mailbox: Mailbox) -> None:
    mailbox.deliver(messages(5))
    stubs.finish(stubs.register(mailbox, "live"))
    request = event_service_pb2.WatchEventsRequest(
        now=event_service_pb2.StartNow(), filter=event_service_pb2.EventFilter(accounts=["accounts/live"])
    )
    stream = stubs.events.WatchEvents(request, timeout=60)
    first = next(stream)
    assert first.from_revision <= first.through_revision
    mailbox.deliver(messages(1, seed=2))
    mailbox.store("2", r"+FLAGS.SILENT (\Flagged)")
    mailbox.expunge("1")
    stubs.sync("live")
    wanted = {"envelope_added", "flags_changed", "envelopes_removed"}
    through = first.through_revision
    for response in stream:
        assert response.from_revision == through, "coverage has no gap"
        through = response.through_revision
        wanted -= {str(event.WhichOneof("payload")) for event in response.events}
        if not wanted:
            break
    stream.cancel()


def test_minimal_mode_leaves_metadata_until_it_is_asked_for_or_the_mode_changes(
    stubs: Stubs, mailbox: Mailbox
) -> None:
    mailbox.deliver(messages(40))
    stubs.finish(
        stubs.register(mailbox, "minimal", account_pb2.SyncSettings(mode=account_pb2.SYNC_MODE_MINIMAL))
    )
    request = account_service_pb2.GetAccountRequest(name="accounts/minimal")
    assert set(stubs.accounts.GetAccount(request).account.notices) == {
        account_pb2.ACCOUNT_NOTICE_METADATA_ON_DEMAND,
        account_pb2.ACCOUNT_NOTICE_MOVES_NOT_DETECTED,
        account_pb2.ACCOUNT_NOTICE_BOUNCES_NOT_DETECTED,
    }
    with mailbox.connect() as client:
        read = read_folder(client, "INBOX")
    inbox = folders(stubs, "minimal")["INBOX"].name
    bare = listed(stubs, inbox)
    not_fetched = envelope_pb2.PARTIAL_REASON_NOT_FETCHED
    assert {uid: envelope.partial.reason for uid, envelope in bare.items()} == dict.fromkeys(
        read, not_fetched
    )
    for uid in (3, 40):
        asked = envelope_service_pb2.GetEnvelopeRequest(name=bare[uid].name)
        agrees(stubs.envelopes.GetEnvelope(asked).envelope, read[uid])
    full = account_pb2.Account(
        name="accounts/minimal", sync=account_pb2.SyncSettings(mode=account_pb2.SYNC_MODE_FULL_METADATA)
    )
    stubs.accounts.UpdateAccount(
        account_service_pb2.UpdateAccountRequest(
            account=full, update_mask=field_mask_pb2.FieldMask(paths=["sync.mode"])
        )
    )
    stubs.sync("minimal")

    def whole() -> dict[int, envelope_pb2.Envelope] | None:
        found = listed(stubs, inbox)
        return None if any(envelope.HasField("partial") for envelope in found.values()) else found

    for uid, envelope in wait_for(whole, 30, "all metadata").items():
        agrees(envelope, read[uid])
        assert envelope.envelope_id == bare[uid].envelope_id
    told = [event.envelope_updated.envelope.uid for event in _events(stubs, "minimal")]
    assert sorted(filter(None, told)) == sorted(read), "each is told once, by whichever way it came"


def _stored(stubs: Stubs) -> int:
    return folders(stubs, "killed")["INBOX"].counts.stored


def _events(stubs: Stubs, account: str) -> list[event_pb2.Event]:
    """Read the whole log of an account through GetEventLog."""
    events: list[event_pb2.Event] = []
    token, through = "", 0
    while True:
        page = stubs.events.GetEventLog(
            event_service_pb2.GetEventLogRequest(
                after_revision=0,
                filter=event_service_pb2.EventFilter(accounts=[f"accounts/{account}"]),
                page_token=token,
            )
        )
        assert page.from_revision == through, "coverage has no gap"
        through = page.through_revision
        events += page.events
        token = page.next_page_token
        if not token:
            return events


def _replayed(stubs: Stubs, account: str, folder: str) -> dict[int, frozenset[str]]:
    """Fold an account's events into each UID's flags, re-reading what BACKFILLED says, as any client must."""
    envelopes = listed(stubs, folder)
    state: dict[int, frozenset[str]] = {}
    for event in _events(stubs, account):
        if event.envelope_moved.from_folder == folder:
            del state[event.envelope_moved.from_uid]
        if event.folder == folder:
            _fold(event, state, envelopes)
    return state


def _fold(
    event: event_pb2.Event, state: dict[int, frozenset[str]], envelopes: dict[int, envelope_pb2.Envelope]
) -> None:
    match event.WhichOneof("payload"):
        case "envelope_added" | "envelope_moved" as arrived:
            envelope = getattr(event, arrived).envelope
            state[envelope.uid] = flag_names(envelope.flags)
        case "flags_changed":
            state[event.flags_changed.uid] = flag_names(event.flags_changed.flags)
        case "envelopes_removed":
            for r in event.envelopes_removed.uids:
                for uid in range(r.first, r.last + 1):
                    del state[uid]
        case "backfilled":
            for r in event.backfilled.uids:
                # What was read again may be gone by now, which a later event then tells.
                state |= {
                    uid: flag_names(envelopes[uid].flags) if uid in envelopes else frozenset()
                    for uid in range(r.first, r.last + 1)
                }


def _change(mailbox: Mailbox, rng: random.Random) -> None:
    uids = sorted(mailbox.flags_by_uid())
    uid = str(rng.choice(uids)) if uids else ""
    match rng.choice(["deliver", "flag", "unflag", "expunge", "move"]) if len(uids) > 5 else "deliver":
        case "deliver":
            mailbox.deliver(messages(1, seed=rng.randrange(10_000)))
        case "flag":
            mailbox.store(uid, rf"+FLAGS.SILENT ({rng.choice(['work', '$Forwarded', chr(92) + 'Seen'])})")
        case "unflag":
            mailbox.store(uid, r"-FLAGS.SILENT (\Seen work)")
        case "expunge":
            mailbox.expunge(uid)
        case "move":
            mailbox.move(uid, "Sent")
