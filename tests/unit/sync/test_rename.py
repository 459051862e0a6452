"""Names and identities tell where folders are; what they do not tell is not guessed."""

from dataclasses import replace

from mailsync_grpc.imap.listing import FolderStatus, ListedFolder
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, MirrorNo, Selection
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.sync.rename import Search

ACCOUNT = AccountKey(AccountNo(1), "work")


def stored(no: int, name: str, uid_validity: int = 0, mailbox_id: str = "") -> Folder:
    """A folder under its name; with a UIDVALIDITY it is mirrored."""
    return Folder(
        *(ACCOUNT, FolderNo(no), bytes([no]) * 10, MirrorNo(no), 1, name.encode(), name, "/"),
        selection=Selection.SELECTED if uid_validity else Selection.DEFAULT,
        uid_validity=uid_validity,
        mailbox_id=mailbox_id,
    )


def status(uid_validity: int | None, mailbox_id: str = "") -> FolderStatus:
    return FolderStatus(3, 9, uid_validity, None, mailbox_id)


def search(folders: list[Folder], *names: str, **statuses: FolderStatus) -> Search:
    """A listing of INBOX and `names`; of a name in `statuses` a slash is an underscore."""
    listed = {name.encode(): ListedFolder(name.encode(), name, "/") for name in ("INBOX", *names)}
    found = {name.replace("_", "/").encode(): told for name, told in statuses.items()}
    return Search([stored(1, "INBOX", 1), *folders], listed, found)


def places(found: Search, proven: bool = True) -> dict[str, int]:
    """Names with the numbers of the folders that they hold, when messages prove every lead or none."""
    held = found.place(found.leads() if proven else ()).held
    return {name.decode(): folder.no for name, folder in held.items() if folder.no > 1}


def missing(found: Search) -> list[int]:
    return [folder.no for folder in found.place(found.leads()).missing]


def test_a_folder_stays_where_it_is_unless_its_name_shows_another_identity() -> None:
    folders = [stored(2, "A", 20), stored(3, "B")]
    assert places(search(folders, "A", "B")) == {"A": 2, "B": 3}
    assert places(search(folders, "A", "B", A=status(20), B=status(20))) == {"A": 2, "B": 3}
    assert places(search(folders, "A", "B", A=status(None))) == {"A": 2, "B": 3}


def test_the_same_uidvalidity_is_a_lead_that_messages_must_prove() -> None:
    found = search([stored(2, "A", 20)], "X", X=status(20))
    (lead,) = found.leads()
    assert (lead.folder.no, lead.raw_name, lead.unique) == (2, b"X", True)
    assert places(found) == {"X": 2}
    assert places(found, proven=False) == {}
    assert found.place(()).missing == (lead.folder,)


def test_a_uidvalidity_that_several_have_is_not_unique() -> None:
    shared = search([stored(2, "A", 20), stored(3, "B", 20)], "B", "X", B=status(20), X=status(20))
    assert [lead.unique for lead in shared.leads()] == [False]
    twice = search([stored(2, "A", 20)], "X", "Y", X=status(20), Y=status(20))
    assert [lead.unique for lead in twice.leads()] == [False, False]


def test_what_is_ambiguous_is_not_decided() -> None:
    twice = search([stored(2, "A", 20)], "X", "Y", X=status(20), Y=status(20))
    assert (places(twice), missing(twice)) == ({}, [2])
    both = search([stored(2, "A", 20), stored(3, "B", 20)], "X", X=status(20))
    assert (places(both), missing(both)) == ({}, [2, 3])


def test_a_mailbox_id_is_proof_and_goes_before_the_uidvalidity() -> None:
    folders = [stored(2, "A", 20, "m2"), stored(3, "B", 0, "m3")]
    found = search(folders, "X", "Y", "Z", X=status(20, "m9"), Y=status(21, "m2"), Z=status(22, "m3"))
    assert found.leads() == []
    assert places(found) == {"Y": 2, "Z": 3}


def test_folders_that_exchanged_their_names_are_told_apart() -> None:
    folders = [stored(2, "A", 20), stored(3, "B", 30)]
    assert places(search(folders, "A", "B", A=status(30), B=status(20))) == {"A": 3, "B": 2}


def test_a_folder_pushed_off_its_name_takes_the_one_that_was_left() -> None:
    folders = [stored(2, "A", 20), stored(3, "B"), stored(4, "B/C")]
    found = search(folders, "A", "B", "A/C", A=status(30), B=status(20), A_C=status(40))
    assert places(found) == {"A": 3, "B": 2, "A/C": 4}


def test_children_never_opened_follow_their_parent() -> None:
    folders = [stored(2, "A", 20), stored(3, "A/B"), stored(4, "A/B/C"), stored(5, "A/B/Gone")]
    found = search(folders, "X", "X/B", "X/B/C", X=status(20), X_B=status(30), X_B_C=status(40))
    assert places(found) == {"X": 2, "X/B": 3, "X/B/C": 4}
    assert missing(found) == [5]


def test_a_parent_never_opened_and_its_other_children_follow_a_child() -> None:
    folders = [stored(2, "A"), stored(3, "A/B", 30), stored(4, "A/C"), stored(5, "T"), stored(6, "T/U")]
    found = search(folders, "X", "X/B", "X/C", "T/U", X_B=status(30))
    assert places(found) == {"X": 2, "X/B": 3, "X/C": 4, "T/U": 6}
    assert missing(found) == [5]


def test_children_that_went_to_different_places_lead_their_parent_nowhere() -> None:
    folders = [stored(2, "A"), stored(3, "A/B", 30), stored(4, "A/C", 40)]
    found = search(folders, "X", "X/B", "Y", "Y/C", X_B=status(30), Y_C=status(40))
    assert places(found) == {"X/B": 3, "Y/C": 4}
    assert missing(found) == [2]


def test_a_child_moved_alone_leaves_its_parent_where_it_is() -> None:
    folders = [stored(2, "A"), stored(3, "A/B", 30), stored(4, "X")]
    assert places(search(folders, "A", "X", "X/B", X_B=status(30))) == {"A": 2, "X": 4, "X/B": 3}


def test_kin_with_another_identity_does_not_follow() -> None:
    folders = [stored(2, "A", 20), stored(3, "A/B", 30)]
    found = search(folders, "X", "X/B", X=status(20), X_B=status(31))
    assert (places(found), missing(found)) == ({"X": 2}, [3])


def test_a_recreated_folder_keeps_its_record_until_the_look_resets_it() -> None:
    found = search([stored(2, "A", 20)], "A", A=status(21))
    assert (places(found), missing(found)) == ({"A": 2}, [])


def test_of_two_records_of_one_name_the_one_with_its_identity_has_it() -> None:
    folders = [stored(2, "A", 20), stored(3, "A", 30)]
    found = search(folders, "A", A=status(30))
    assert (places(found), missing(found)) == ({"A": 3}, [2])


def test_inbox_never_leaves_its_name() -> None:
    found = search([stored(2, "A", 20)], "A", "Old", INBOX=status(5), A=status(20), Old=status(1))
    assert places(found) == {"A": 2}
    assert found.place(found.leads()).held[b"INBOX"].no == 1


def test_a_folder_that_can_no_longer_be_opened_is_no_place_for_a_mirror() -> None:
    found = search([stored(2, "A", 20)], "X", X=status(20))
    found.listed = {
        name: replace(one, attributes=frozenset({"\\Noselect"})) for name, one in found.listed.items()
    }
    assert missing(found) == [2]


def test_status_is_asked_of_mirrors_and_of_all_names_only_when_one_is_astray() -> None:
    folders = [stored(2, "A", 20), stored(3, "B"), stored(4, "C", 40)]
    quiet = search(folders, "A", "B", "C", "New")
    assert quiet.routine(object_ids=False) == [b"A", b"C"]
    quiet.statuses = {b"A": status(20), b"C": status(40)}
    assert quiet.further() == []
    quiet.statuses[b"C"] = status(41)
    assert quiet.further() == [b"B", b"New"]
    assert search([stored(2, "A")], "New").further() == [], "what has no identity is not looked for"


def test_a_mailbox_id_is_asked_for_until_it_is_known() -> None:
    folders = [stored(2, "A", 20, "m2"), stored(3, "B"), stored(4, "C", 0, "m4")]
    assert search(folders, "A", "B", "C", "New").routine(object_ids=True) == [b"A", b"B", b"New"]
