r"""Which label a folder of Gmail shows, and what a change of labels comes to in it."""

import pytest

from mailsync_grpc.imap.folder_names import encode_name
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.flags import FLAGGED, NO_FLAGS, Flags
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.intent import Intent, IntentKind
from mailsync_grpc.sync import labels

ACCOUNT = AccountKey(AccountNo(1), "acme")


def folder(name: str, special_use: str = "") -> Folder:
    return Folder(
        ACCOUNT, FolderNo(1), b"x" * 10, MirrorNo(1), 1, encode_name(name), name, "/", special_use=special_use
    )


INBOX, WORK, ALL_MAIL = folder("INBOX"), folder("Wörk/new"), folder("[Gmail]/All Mail", "\\All")
TRASH, SPAM = folder("[Gmail]/Bin", "\\Trash"), folder("[Gmail]/Spam", "\\Junk")


STARRED = folder("[Gmail]/Starred", "\\Flagged")


def asking(add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> Intent:
    return flagging(Flags.of((), add), Flags.of((), remove))


def flagging(add: Flags = NO_FLAGS, remove: Flags = NO_FLAGS) -> Intent:
    return Intent(ACCOUNT, 1, 1, IntentKind.MODIFY_FLAGS, add=add, remove=remove)


@pytest.mark.parametrize(
    ("shown", "own"),
    [
        (INBOX, {"\\inbox"}),
        (WORK, {"wörk/new"}),
        (ALL_MAIL, set()),
        (TRASH, {"\\trash"}),
        (SPAM, {"\\spam", "\\junk"}),
        (STARRED, {"\\starred"}),
        (folder("[Gmail]/Drafts", "\\Drafts"), {"\\draft", "\\drafts"}),
        (folder("[Gmail]/Important", "\\Important"), {"\\important"}),
        (folder("[Gmail]/Sent Mail", "\\Sent"), {"\\sent"}),
    ],
    ids=lambda value: value.display_name if isinstance(value, Folder) else "",
)
def test_a_folder_shows_the_messages_of_one_label(shown: Folder, own: set[str]) -> None:
    assert labels.own_labels(shown) == own


@pytest.mark.parametrize(
    ("asked", "held", "right"),
    [
        (asking(add=("a", "b")), ("b", "a", "c"), True),
        (asking(add=("a", "b")), ("a",), False),
        (asking(remove=("a", "b")), ("c",), True),
        (asking(remove=("a", "b")), ("b",), False),
        (asking(add=("Größe",)), ("GRÖSSE",), True),
        (asking(add=("Gro\u0308ße",)), ("Größe",), True),
        (asking(remove=("work",)), ("Work",), False),
        (asking(add=("\\Inbox",)), (), True),
        (asking(remove=("\\Inbox",)), (), False),
    ],
)
def test_what_is_in_a_folder_has_its_label_whatever_the_server_tells(
    asked: Intent, held: tuple[str, ...], right: bool
) -> None:
    assert labels.as_asked(asked, Flags.of(["\\Seen"], held), labels.own_labels(INBOX)) is right


@pytest.mark.parametrize(
    ("asked", "shown", "taking"),
    [
        (asking(remove=("\\Inbox", "a")), INBOX, ((), ("\\Inbox",))),
        (asking(remove=("\\Inbox",)), WORK, ((), ())),
        (asking(remove=("\\Inbox",)), ALL_MAIL, ((), ())),
        (asking(remove=("WÖRK/new", "x")), WORK, ((), ("WÖRK/new",))),
        (asking(add=("\\Inbox", "wörk/new")), WORK, ((), ())),
        (asking(add=("\\Trash", "a"), remove=("b",)), INBOX, (("\\Trash",), ())),
        (asking(add=("\\Trash",), remove=("\\inbox",)), INBOX, (("\\Trash",), ("\\inbox",))),
        (asking(add=("\\Spam",)), ALL_MAIL, (("\\Spam",), ())),
        (asking(add=("\\Trash",)), TRASH, ((), ())),
        (asking(add=("\\Trash",)), SPAM, (("\\Trash",), ())),
        (flagging(remove=Flags.of([FLAGGED, "a"], ["b"])), STARRED, ((), (FLAGGED,))),
        (asking(remove=("\\Starred",)), STARRED, ((), ("\\Starred",))),
        (flagging(remove=Flags.of([FLAGGED])), INBOX, ((), ())),
        (flagging(remove=Flags.of(["wörk/new"])), WORK, ((), ())),
    ],
)
def test_what_loses_its_label_or_is_put_aside_leaves_the_folder(
    asked: Intent, shown: Folder, taking: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    add, remove = labels.taking(asked, shown)
    assert ((*add.names, *add.labels), (*remove.names, *remove.labels)) == taking


def test_a_folder_is_concerned_by_its_own_label_alone() -> None:
    assert labels.concern(asking(add=("Wörk/New",)), WORK)
    assert labels.concern(asking(remove=("\\Inbox",)), INBOX)
    assert not labels.concern(asking(add=("wörk",), remove=("new",)), WORK)
    assert not labels.concern(asking(add=("work",)), ALL_MAIL)
    assert not labels.concern(asking(), INBOX)
    assert labels.concern(flagging(Flags.of([FLAGGED])), STARRED)
    assert labels.concern(flagging(remove=Flags.of([FLAGGED])), STARRED)
    assert not labels.concern(flagging(Flags.of([FLAGGED])), INBOX)


@pytest.mark.parametrize(
    ("add", "remove", "contradict"),
    [
        (Flags.of(["a"], ["b"]), Flags.of(["b"], ["a"]), False),
        (Flags.of(["A"]), Flags.of(["a"]), True),
        (Flags.of([], ["A"]), Flags.of([], ["a", "b"]), True),
        (Flags.of(["\\Flagged"]), Flags.of([], ["\\Starred"]), True),
        (Flags.of([], ["\\Starred"]), Flags.of(["\\Flagged"]), True),
        (Flags.of(["\\Flagged"], ["\\Starred"]), Flags.of(["\\Seen"], ["\\Inbox"]), False),
    ],
)
def test_what_is_to_be_added_and_removed_at_once_is_found(
    add: Flags, remove: Flags, contradict: bool
) -> None:
    assert labels.contradict(add, remove) is contradict
