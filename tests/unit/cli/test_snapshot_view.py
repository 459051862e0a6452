"""What a watch says besides events: the current state in short lines, a reset, accounts that come and go."""

from mailsync_grpc.cli.snapshot_view import Progress, control_lines, reset_words
from mailsync_grpc.v1.account_pb2 import Account, AccountState, ImapEndpoint
from mailsync_grpc.v1.envelope_pb2 import Envelope
from mailsync_grpc.v1.errors_pb2 import ErrorReason
from mailsync_grpc.v1.event_service_pb2 import (
    AccountHidden,
    AccountVisible,
    Reset,
    SnapshotChunk,
    SnapshotEnd,
    WatchEventsResponse,
)
from mailsync_grpc.v1.folder_pb2 import Folder, FolderCounts


def lines(response: WatchEventsResponse) -> list[str]:
    return [" ".join(line.plain.split()) for line in control_lines(response)]


def test_the_current_state_is_a_line_for_each_account_and_folder() -> None:
    account = Account(
        name="accounts/work",
        username="anna",
        imap=ImapEndpoint(host="imap.a.example"),
        state=AccountState.ACCOUNT_STATE_ACTIVE,
    )
    inbox = Folder(name="accounts/work/folders/a", path="INBOX", selected=True)
    inbox.counts.CopyFrom(FolderCounts(messages=1200, unseen=3))
    archive = Folder(name="accounts/work/folders/b", path="Archive")
    chunk = SnapshotChunk(
        accounts=[account], folders=[inbox, archive], envelopes=[Envelope(subject="no line")]
    )
    assert lines(WatchEventsResponse(snapshot_chunk=chunk)) == [
        "account work anna at imap.a.example, active",
        "folder work INBOX: 1,200 messages, 3 unread",
        "folder work Archive: not mirrored",
    ]


def test_the_end_of_the_current_state_counts_it() -> None:
    end = SnapshotEnd(accounts=1, folders=2, envelopes=1200)
    assert lines(WatchEventsResponse(snapshot_end=end)) == [
        "complete 1 account, 2 folders, 1,200 messages; changes follow"
    ]


def test_accounts_that_come_and_go_have_a_line() -> None:
    visible, hidden = AccountVisible(account="accounts/a"), AccountHidden(account="accounts/b")
    assert lines(WatchEventsResponse(account_visible=visible)) == [
        "visible a its events are told from now on"
    ]
    assert lines(WatchEventsResponse(account_hidden=hidden)) == ["hidden b its events are told no more"]


def test_heartbeats_and_goodbyes_have_none() -> None:
    for control in ("heartbeat", "goodbye"):
        response = WatchEventsResponse()
        getattr(response, control).SetInParent()
        assert lines(response) == []


def test_a_strangers_folder_cannot_act_on_the_terminal() -> None:
    chunk = SnapshotChunk(folders=[Folder(name="accounts/work/folders/a", path="\x1b[2J[red]")])
    assert lines(WatchEventsResponse(snapshot_chunk=chunk)) == [r"folder work \x1b[2J[red]: not mirrored"]


def test_a_reset_says_why_and_what_is_kept() -> None:
    reason = ErrorReason.ERROR_REASON_REVISION_COMPACTED
    said = reset_words(Reset(reason=reason, floor_revision=12, head_revision=57))
    assert said.startswith("REVISION_COMPACTED: ")
    assert "after revision 12, up to 57" in said


def test_progress_is_told_every_ten_thousand_messages() -> None:
    progress, chunk = Progress(), SnapshotChunk(envelopes=[Envelope()] * 4_000)
    assert [progress.take(chunk) for _ in range(5)] == [
        "",
        "",
        "12,000 messages of the current state so far",
        "",
        "20,000 messages of the current state so far",
    ]
