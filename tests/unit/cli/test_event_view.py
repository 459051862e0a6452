"""Events in words: each type of the contract has its line."""

from datetime import UTC, datetime

from mailsync_grpc.cli.event_view import describe, event_text, logged_event_text, uid_words
from mailsync_grpc.cli.times import parse_time
from mailsync_grpc.v1 import event_pb2 as events
from mailsync_grpc.v1.account_pb2 import Account, AccountState
from mailsync_grpc.v1.envelope_pb2 import (
    DELIVERY_ACTION_DELAYED,
    DELIVERY_ACTION_FAILED,
    Address,
    Envelope,
    Flags,
    Report,
    ReportRecipient,
    UidRange,
)
from mailsync_grpc.v1.folder_pb2 import Folder, FolderState

INBOX = "accounts/work/folders/aaaaaaaaaaaaaaaa"
ARCHIVE = "accounts/work/folders/bbbbbbbbbbbbbbbb"
PATHS = {INBOX: "INBOX", ARCHIVE: "Archive"}


def envelope(subject: str) -> Envelope:
    made = Envelope(subject=subject)
    getattr(made, "from").append(Address(display_name="Kim", address="kim@a.example"))
    return made


def event(**payload: object) -> events.Event:
    return events.Event(account="accounts/work", folder=INBOX, **payload)  # type: ignore[arg-type]


def test_every_type_of_event_has_a_line() -> None:
    for field in events.Event.DESCRIPTOR.oneofs_by_name["payload"].fields:
        made = event()
        getattr(made, field.name).SetInParent()
        assert describe(made, PATHS).kind


def test_the_kind_stands_apart_from_what_follows() -> None:
    for field in events.Event.DESCRIPTOR.oneofs_by_name["payload"].fields:
        made = event()
        getattr(made, field.name).SetInParent()
        assert f"  {describe(made, PATHS).kind}  " in event_text(made, PATHS).plain


def test_a_folder_whose_state_changed_says_what_it_is_now() -> None:
    folder = Folder(path="INBOX", state=FolderState.FOLDER_STATE_FAILED, state_message="no such mailbox")
    changed = events.FolderChanged(folder=folder, change=events.FOLDER_CHANGE_STATE)
    assert describe(event(folder_changed=changed), PATHS).what == "failed: no such mailbox"


def test_an_erased_event_says_why() -> None:
    assert describe(event(), PATHS).what == "its account was deleted"


def test_an_arrival_tells_subject_sender_and_folder() -> None:
    text = event_text(event(envelope_added=events.EnvelopeAdded(envelope=envelope("Lunch?"))), PATHS).plain
    assert "arrived" in text
    assert "INBOX" in text
    assert text.endswith("Lunch? — Kim")


def test_a_strangers_subject_cannot_act_on_the_terminal() -> None:
    added = events.EnvelopeAdded(envelope=envelope("\x1b]0;title\x07[red]"))
    assert event_text(event(envelope_added=added), PATHS).plain.endswith(r"\x1b]0;title\x07[red] — Kim")


def test_flags_tell_what_was_added_and_removed() -> None:
    changed = events.FlagsChanged(
        uid=7,
        flags=Flags(seen=True),
        added=Flags(seen=True, keywords=["work"]),
        removed=Flags(flagged=True),
    )
    assert describe(event(flags_changed=changed), PATHS).what == "UID 7: +seen +work -flagged"


def test_a_move_tells_where_from() -> None:
    moved = events.EnvelopeMoved(from_folder=ARCHIVE, envelope=envelope("Lunch?"))
    assert describe(event(envelope_moved=moved), PATHS).what == "Lunch? — Kim (from Archive)"


def test_a_removal_tells_subjects_when_they_are_known_and_uids_when_not() -> None:
    known = [events.RemovedEnvelope(subject=f"No {number}") for number in range(5)]
    few = events.EnvelopesRemoved(uids=[UidRange(first=1, last=5)], known=known)
    many = events.EnvelopesRemoved(uids=[UidRange(first=1, last=500)])
    assert describe(event(envelopes_removed=few), PATHS).what == "No 0, No 1, No 2 and 2 more"
    assert describe(event(envelopes_removed=many), PATHS).what == "UIDs 1-500"


def test_one_uid_and_several_read_differently() -> None:
    assert uid_words([UidRange(first=7, last=7)]) == "UID 7"
    assert uid_words([UidRange(first=1, last=5), UidRange(first=9, last=9)]) == "UIDs 1-5,9"


def test_an_account_that_fails_says_why() -> None:
    account = Account(state=AccountState.ACCOUNT_STATE_AUTH_FAILED, state_message="login refused")
    changed = event(account_changed=events.AccountChanged(account=account))
    assert describe(changed, PATHS).what == "auth failed: login refused"


def test_a_folder_not_known_by_path_is_shown_by_its_id() -> None:
    assert "bbbbbbbbbbbbbbbb" in event_text(events.Event(account="accounts/work", folder=ARCHIVE), {}).plain


def test_a_bounce_tells_what_happened_for_whom() -> None:
    recipients = [
        ReportRecipient(final_recipient="bob@b.example", action=DELIVERY_ACTION_FAILED, status="5.1.1"),
        ReportRecipient(final_recipient="kim@b.example", action=DELIVERY_ACTION_DELAYED),
    ]
    report = Report(original_message_id="a@b", recipients=recipients)
    said = describe(event(bounce=events.Bounce(report=report)), PATHS)
    assert (said.kind, said.what) == ("bounce", "bob@b.example failed 5.1.1, kim@b.example delayed")
    report.recipients.extend(recipients)
    said = describe(event(bounce=events.Bounce(report=report)), PATHS)
    assert said.what.endswith("bob@b.example failed 5.1.1 and 1 more")


def test_a_complaint_tells_its_kind_and_an_automatic_answer_what_it_answers() -> None:
    report = Report(original_message_id="a@b", feedback_type="abuse")
    said = describe(event(complaint=events.Complaint(report=report)), PATHS)
    assert (said.kind, said.what) == ("complaint", "abuse: about <a@b>")
    said = describe(event(auto_reply=events.AutoReply(report=report)), PATHS)
    assert (said.kind, said.what) == ("auto-reply", "about <a@b>")
    assert describe(event(bounce=events.Bounce()), PATHS).what == "about an unnamed message"


def test_a_line_of_the_log_says_where_it_stands_and_when_so_that_it_can_be_asked_for() -> None:
    made = event(folder_removed=events.FolderRemoved(path="Old"))
    made.revision = 57
    made.commit_time.FromMilliseconds(1_772_352_307_123)
    revision, time, *_ = logged_event_text(made, PATHS).plain.split()
    assert revision == "57"
    assert parse_time(time) == datetime.fromtimestamp(1_772_352_307, UTC).replace(microsecond=123_000)
