"""An event carries the request_id of the call that caused it, and no other's."""

from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import (
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesRemoved,
    FlagsChanged,
    FolderChanged,
    FolderChangeKind,
    FolderRemoved,
    KnownEnvelope,
)
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.folder import Folder, FolderKey, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.intent import Intent, IntentKind, Outcome
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.causes import attributed, taken_from, touched_in
from tests.support.store import message_of

ACCOUNT = AccountKey(AccountNo(1), "acme")
INBOX, SENT = (FolderKey(ACCOUNT, FolderNo(no), b"x" * 10, MirrorNo(no), 77) for no in (1, 2))


def intent(
    kind: IntentKind, done: str = "", moved: tuple[tuple[int, int], ...] = (), **fields: object
) -> Intent:
    outcome = Outcome(UidSet.parse(done), moved)
    return Intent(ACCOUNT, 1, 1, kind, request_id="ours", outcome=outcome, **{"folder": INBOX.no, **fields})  # type: ignore[arg-type] # by name


def flags_of(uid: int) -> Change:
    return FlagsChanged(INBOX, uid, b"e" * 10, NO_FLAGS, NO_FLAGS)


def causes(change: Change, *intents: Intent) -> list[str]:
    return list(attributed([change], intents).causes)


def test_without_a_request_id_nothing_is_attributed() -> None:
    assert attributed([flags_of(1)], []).causes == ()


def test_flags_are_ours_where_we_changed_them() -> None:
    ours = intent(IntentKind.MODIFY_FLAGS, "1:3")
    assert attributed([flags_of(2), flags_of(4)], [ours]).causes == ("ours", "")
    assert causes(flags_of(2), intent(IntentKind.EXPUNGE, "2")) == [""]


def test_a_removal_of_ours_and_others_is_told_as_two() -> None:
    known = tuple(KnownEnvelope(uid, b"e" * 10, "", "") for uid in (1, 2, 3))
    told = attributed(
        [EnvelopesRemoved(INBOX, UidSet.parse("1:3"), known)], [intent(IntentKind.EXPUNGE, "2")]
    )
    assert told.changes == (
        EnvelopesRemoved(INBOX, UidSet.parse("2"), known[1:2]),
        EnvelopesRemoved(INBOX, UidSet.parse("1,3"), (known[0], known[2])),
    )
    assert told.causes == ("ours", "")


def test_what_came_is_ours_where_the_server_told_its_uid() -> None:
    copied = intent(IntentKind.COPY, "1:2", ((1, 10), (2, 0)), target=SENT.no)
    assert causes(EnvelopeAdded(SENT, message_of(10)), copied) == ["ours"]
    assert causes(EnvelopeAdded(SENT, message_of(11)), copied) == [""]
    assert causes(EnvelopeAdded(INBOX, message_of(10)), copied) == [""]


def test_a_move_is_ours_by_where_it_began() -> None:
    moved = intent(IntentKind.MOVE, "1", ((1, 10),), target=SENT.no)
    change = EnvelopeMoved(INBOX, 1, SENT, message_of(10), MoveEvidence.EMAIL_ID)
    assert causes(change, moved) == ["ours"]
    assert causes(change, intent(IntentKind.COPY, "1", target=SENT.no)) == [""]


def test_what_left_its_folder_by_its_labels_is_ours_and_what_stayed_is_not() -> None:
    ours = intent(IntentKind.MODIFY_FLAGS, "1:3", ((2, 0),))
    known = tuple(KnownEnvelope(uid, b"e" * 10, "", "") for uid in (2, 3))
    told = attributed([EnvelopesRemoved(INBOX, UidSet.parse("2:3"), known)], [ours])
    assert [(str(change.uids), cause) for change, cause in zip(*told, strict=True)] == [  # type: ignore[union-attr]
        ("2", "ours"),
        ("3", ""),
    ]
    for uid, cause in ((2, "ours"), (3, "")):
        change = EnvelopeMoved(INBOX, uid, SENT, message_of(10), MoveEvidence.EMAIL_ID)
        assert causes(change, ours) == [cause]
    assert causes(flags_of(3), ours) == ["ours"]
    assert taken_from(INBOX.no, [ours]) == UidSet.parse("2")
    assert taken_from(SENT.no, [ours]) == UidSet()


def test_a_renamed_branch_is_ours_and_its_namesakes_are_not() -> None:
    renamed = intent(IntentKind.RENAME_FOLDER, path="New")
    for no, path, cause in ((1, "New", "ours"), (5, "New/Below", "ours"), (6, "Newer", "")):
        folder = Folder(ACCOUNT, FolderNo(no), b"x" * 10, MirrorNo(no), 1, path.encode(), path, "/")
        assert causes(FolderChanged(folder, FolderChangeKind.RENAMED), renamed) == [cause]
    gone = Folder(ACCOUNT, FolderNo(1), b"x" * 10, MirrorNo(1), 1, b"Old", "Old", "/")
    assert causes(FolderRemoved(gone), intent(IntentKind.DELETE_FOLDER)) == ["ours"]


def test_what_is_to_be_looked_at_and_what_is_known_to_be_gone() -> None:
    moved = intent(IntentKind.MOVE, "1:2", ((1, 10), (2, 0)), target=SENT.no)
    assert taken_from(INBOX.no, [moved]) == UidSet.parse("1:2")
    assert taken_from(SENT.no, [moved]) == UidSet()
    assert touched_in(INBOX.no, [moved]) == UidSet.parse("1:2")
    assert touched_in(SENT.no, [moved]) == UidSet.parse("10")
