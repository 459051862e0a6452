"""Settings changed through the API while the service runs: a worker process applies them to a store on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from mailsync_grpc.cli.demo.mailbox import NEWEST, deliveries
from mailsync_grpc.v1 import account_pb2, event_pb2, folder_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from mailsync_grpc.v1 import event_service_pb2 as events
from mailsync_grpc.v1 import folder_service_pb2 as folders
from tests.support.mail import Mailbox
from tests.support.service import Service, Stubs, running, wait_for

ACCOUNT = "accounts/windowed"


@pytest.fixture
def stubs(tmp_path: Path) -> Iterator[Stubs]:
    """Stubs of a service of the test's own."""
    with running(Service(tmp_path / "home")) as service, Stubs(service.address) as made:
        yield made


def inbox(stubs: Stubs) -> folder_pb2.Folder:
    listed = stubs.folders.ListFolders(folders.ListFoldersRequest(parent=ACCOUNT)).folders
    return next(folder for folder in listed if folder.path == "INBOX")


def change(stubs: Stubs, window: account_pb2.Window | None, stored: int) -> list[event_pb2.Event]:
    """Set the window, wait until that many messages are stored, and return what INBOX told meanwhile."""
    before = events.GetEventLogRequest(page_size=1_000)
    before.filter.folders.append(inbox(stubs).name)
    before.after_revision = stubs.events.GetEventLog(before).through_revision
    stubs.accounts.UpdateAccount(
        pb.UpdateAccountRequest(
            account=account_pb2.Account(
                name=ACCOUNT, sync=account_pb2.SyncSettings(window=window) if window else None
            ),
            update_mask=FieldMask(paths=["sync.window"]),
        )
    )
    wait_for(lambda: inbox(stubs).counts.stored == stored or None, 20, f"{stored} stored messages")
    return list(stubs.events.GetEventLog(before).events)


def uids(told: list[event_pb2.Event], kind: str) -> set[int]:
    ranges = [one for event in told if event.HasField(kind) for one in getattr(event, kind).uids]  # type: ignore[arg-type] # names a payload
    return {uid for one in ranges for uid in range(one.first, one.last + 1)}


def test_a_window_is_changed_by_update_account_and_its_messages_come_and_go_without_new_mail(
    stubs: Stubs, mailbox: Mailbox
) -> None:
    mailbox.deliver(deliveries(60))
    stubs.finish(stubs.register(mailbox, "windowed"))
    narrowed = change(stubs, account_pb2.Window(newest=10), 10)
    assert uids(narrowed, "envelopes_evicted") == {*range(1, 51)}
    since = account_pb2.Window()
    since.since.FromDatetime(NEWEST.replace(hour=0, minute=0))
    dates = mailbox.dates_by_uid()
    inside = {uid for uid, date in dates.items() if date >= NEWEST.replace(hour=0, minute=0)}
    told = change(stubs, since, len(inside))
    assert uids(told, "envelopes_evicted") == {*range(51, 61)} - inside
    widened = change(stubs, None, 60)
    assert uids(widened, "backfilled") == {*range(1, 61)} - inside
    kinds = {str(event.WhichOneof("payload")) for event in (*narrowed, *told, *widened)}
    assert kinds.isdisjoint({"envelope_added", "envelopes_removed", "folder_synced"})
    assert len(mailbox.flags_by_uid()) == 60
    assert inbox(stubs).state == folder_pb2.FOLDER_STATE_SYNCED
