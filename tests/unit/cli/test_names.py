"""What people may type for an account, a folder, an envelope."""

import pytest

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.names import account_of, account_resource, envelope_resource, match_path
from mailsync_grpc.v1.folder_pb2 import Folder

ENVELOPE_ID = "abcdefghijklmnop"
FOLDER = f"accounts/work/folders/{ENVELOPE_ID}"


@pytest.mark.parametrize("typed", ["work", "accounts/work"])
def test_an_account_is_named_by_its_id_or_its_resource_name(typed: str) -> None:
    assert account_resource(typed) == "accounts/work"


@pytest.mark.parametrize("typed", ["", "Work", "a b", "accounts/", FOLDER])
def test_what_cannot_be_an_account_is_refused_before_any_call(typed: str) -> None:
    with pytest.raises(CommandError, match="not an account"):
        account_resource(typed)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (f"work/{ENVELOPE_ID}", f"accounts/work/envelopes/{ENVELOPE_ID}"),
        (f"accounts/work/envelopes/{ENVELOPE_ID}", f"accounts/work/envelopes/{ENVELOPE_ID}"),
        (f"{FOLDER}/envelopes/7.12", f"{FOLDER}/envelopes/7.12"),
    ],
)
def test_an_envelope_is_named_as_the_table_shows_it_or_by_either_resource_name(typed: str, name: str) -> None:
    assert envelope_resource(typed) == name


@pytest.mark.parametrize("typed", ["work", "work/", "work/12", FOLDER, f"{FOLDER}/envelopes/0.1"])
def test_what_cannot_be_an_envelope_is_refused_before_any_call(typed: str) -> None:
    with pytest.raises(CommandError, match="not an envelope"):
        envelope_resource(typed)


def test_inbox_is_found_in_any_case_and_other_folders_exactly() -> None:
    folders = [Folder(name="1", path="INBOX"), Folder(name="2", path="Archive/Inbox")]
    inbox = match_path(folders, "inbox")
    assert inbox is not None
    assert inbox.name == "1"
    assert match_path(folders, "archive/inbox") is None


def test_a_folder_names_its_account() -> None:
    assert account_of(FOLDER) == "accounts/work"
