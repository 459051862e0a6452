"""Folder records follow from LIST answers; a folder that is not shown once is only missing."""

from dataclasses import replace
from itertools import count

from mailsync_grpc.imap.listing import ListedFolder
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, MirrorNo, Selection
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.sync import tree

ACCOUNT = AccountKey(AccountNo(1), "work")


def listed(name: str, *attributes: str, special_use: str | None = None) -> ListedFolder:
    return ListedFolder(name.encode(), name, "/", frozenset(attributes), special_use)


def reconcile(entries: list[ListedFolder], stored: tuple[Folder, ...] = ()) -> tree.TreeDelta:
    numbers = count(1 + max((folder.no for folder in stored), default=0))

    def number() -> tree.NewNumbers:
        no = next(numbers)
        return tree.NewNumbers(FolderNo(no), MirrorNo(no), bytes([no]) * 10)

    return tree.reconcile(ACCOUNT, entries, stored, number)


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
    assert reconcile(entries, first.created) == tree.TreeDelta((), (), ())


def test_the_users_choice_outlives_listings() -> None:
    entries = [listed("INBOX"), listed("Archive")]
    stored = tuple(
        replace(
            folder, selection=Selection.SELECTED if folder.display_name == "Archive" else Selection.DESELECTED
        )
        for folder in reconcile(entries).created
    )
    assert reconcile(entries, stored) == tree.TreeDelta((), (), ())
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
    assert reconcile([listed("INBOX", "\\Marked")], stored) == tree.TreeDelta((), (), ())


def test_a_folder_that_is_not_shown_is_missing_and_not_touched() -> None:
    stored = reconcile([listed("INBOX"), listed("A")]).created
    delta = reconcile([listed("INBOX")], stored)
    assert [folder.display_name for folder in delta.missing] == ["A"]
    assert not delta.created
    assert not delta.updated
