"""Folder records follow from LIST answers; a folder that is not shown once is only missing."""

from dataclasses import replace
from itertools import count

from mailsync_grpc.imap.listing import ListedFolder, Namespaces
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, MirrorNo, Selection
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.sync import tree
from mailsync_grpc.sync.naming import known_as

UNCHANGED = tree.TreeDelta((), ())
ACCOUNT = AccountKey(AccountNo(1), "work")


def listed(name: str, *attributes: str, special_use: str | None = None) -> ListedFolder:
    return ListedFolder(name.encode(), name, "/", frozenset(attributes), special_use)


def reconcile(
    entries: list[ListedFolder],
    stored: tuple[Folder, ...] = (),
    renamed: dict[str, str] | None = None,
    namespaces: Namespaces | None = None,
) -> tree.TreeDelta:
    """What a listing changes; `renamed` tells the names, old and new, of folders recognised under another one."""
    held = {(renamed or {}).get(name := folder.raw_name.decode(), name): folder for folder in stored}
    numbers = count(1 + max((folder.no for folder in stored), default=0))

    def number() -> tree.NewNumbers:
        no = next(numbers)
        return tree.NewNumbers(FolderNo(no), MirrorNo(no), bytes([no]) * 10)

    seen = [
        tree.Seen(naming, held.get(naming.entry.raw_name.decode()))
        for naming in known_as(entries, namespaces)
    ]
    return tree.reconcile(ACCOUNT, seen, number)


def selected(delta: tree.TreeDelta) -> set[str]:
    return {folder.display_name for folder in delta.created if folder.selected}


def test_inbox_and_sent_are_selected_by_default() -> None:
    delta = reconcile(
        [listed("INBOX"), listed("Archive"), listed("Out", special_use="\\Sent"), listed("Sent")]
    )
    assert selected(delta) == {"INBOX", "Out"}


def test_special_use_goes_before_the_name_catalogue() -> None:
    assert selected(reconcile([listed("INBOX"), listed("Gesendete Objekte"), listed("Trash")])) == {
        "INBOX",
        "Gesendete Objekte",
    }
    marked = [listed("INBOX"), listed("Sent"), listed("Gesendet", special_use="\\Sent")]
    assert selected(reconcile(marked)) == {"INBOX", "Gesendet"}


def test_of_several_sent_folders_the_highest_in_the_tree_is_taken() -> None:
    assert selected(reconcile([listed("INBOX"), listed("Old/Sent"), listed("Sent")])) == {"INBOX", "Sent"}


def test_a_folder_that_holds_no_messages_is_never_selected() -> None:
    delta = reconcile([listed("INBOX"), listed("Sent", "\\Noselect", special_use="\\Sent")])
    assert selected(delta) == {"INBOX"}
    assert not next(folder for folder in delta.created if folder.display_name == "Sent").selectable


def test_parents_are_named_by_id_and_a_gap_in_the_tree_has_none() -> None:
    delta = reconcile([listed("INBOX"), listed("A"), listed("A/B"), listed("X/Y")])
    by_name = {folder.display_name: folder for folder in delta.created}
    assert by_name["A/B"].parent_id == by_name["A"].id
    assert by_name["X/Y"].parent_id == b""


def test_the_same_listing_again_changes_nothing() -> None:
    entries = [listed("INBOX"), listed("Sent"), listed("A/B")]
    first = reconcile(entries)
    assert reconcile(entries, first.created) == UNCHANGED


def test_the_users_choice_outlives_listings() -> None:
    entries = [listed("INBOX"), listed("Archive")]
    stored = tuple(
        replace(
            folder, selection=Selection.SELECTED if folder.display_name == "Archive" else Selection.DESELECTED
        )
        for folder in reconcile(entries).created
    )
    assert reconcile(entries, stored) == UNCHANGED
    assert {folder.display_name for folder in stored if folder.selected} == {"Archive"}


def test_new_attributes_make_the_next_version_and_keep_identities() -> None:
    stored = reconcile([listed("INBOX"), listed("A")]).created
    delta = reconcile([listed("INBOX"), listed("A", "\\HasChildren"), listed("A/B")], stored)
    assert [folder.display_name for folder in delta.created] == ["A/B"]
    (updated,) = delta.updated
    before = next(folder for folder in stored if folder.display_name == "A")
    assert (updated.id, updated.no, updated.version) == (before.id, before.no, before.version + 1)


def test_marks_of_recent_mail_are_no_change_of_a_folder() -> None:
    stored = reconcile([listed("INBOX", "\\Unmarked")]).created
    assert reconcile([listed("INBOX", "\\Marked")], stored) == UNCHANGED


def test_a_renamed_folder_keeps_everything_but_its_name_and_place() -> None:
    stored = reconcile([listed("INBOX"), listed("A"), listed("A/B")]).created
    delta = reconcile([listed("INBOX"), listed("X"), listed("X/Y")], stored, {"A": "X", "A/B": "X/Y"})
    assert not delta.created
    top, below = delta.updated
    assert [(folder.display_name, folder.raw_name) for folder in delta.updated] == [
        ("X", b"X"),
        ("X/Y", b"X/Y"),
    ]
    assert {(folder.no, folder.id, folder.mirror) for folder in delta.updated} == {
        (folder.no, folder.id, folder.mirror) for folder in stored if folder.display_name != "INBOX"
    }
    assert below.parent_id == top.id


def test_a_rename_alone_never_drops_a_mirror() -> None:
    stored = reconcile([listed("INBOX"), listed("Sent")]).created
    (renamed,) = reconcile([listed("INBOX"), listed("Old")], stored, {"Sent": "Old"}).updated
    assert (renamed.selected, renamed.by_default, renamed.special_use) == (True, False, "")
    assert reconcile([listed("INBOX"), listed("Old")], (stored[0], renamed)) == UNCHANGED
    deselected = replace(stored[1], selection=Selection.DESELECTED)
    (renamed,) = reconcile([listed("INBOX"), listed("Old")], (stored[0], deselected), {"Sent": "Old"}).updated
    assert not renamed.selected


def test_a_folder_that_is_given_the_name_of_sent_mail_is_selected() -> None:
    stored = reconcile([listed("INBOX"), listed("Old")]).created
    (renamed,) = reconcile([listed("INBOX"), listed("Gesendet")], stored, {"Old": "Gesendet"}).updated
    assert (renamed.selected, renamed.special_use) == (True, "\\Sent")


def test_folders_of_others_are_listed_and_never_taken_for_the_accounts_own() -> None:
    namespaces = Namespaces(((b"", "/"),), ((b"Other/", "/"),), ((b"Shared/", "/"),))
    entries = [listed("INBOX"), listed("Other/ann/Sent", special_use="\\Sent"), listed("Shared/Sent")]
    delta = reconcile([*entries, listed("Old/Gesendet")], namespaces=namespaces)
    assert selected(delta) == {"INBOX", "Old/Gesendet"}
    assert [folder.display_name for folder in delta.created if folder.special_use] == ["Old/Gesendet"]
    chosen = tuple(replace(folder, selection=Selection.SELECTED) for folder in delta.created)
    assert reconcile([*entries, listed("Old/Gesendet")], chosen, namespaces=namespaces) == UNCHANGED
