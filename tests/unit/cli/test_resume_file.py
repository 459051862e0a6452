"""The file a watch's position is kept in: whole or not at all, for its owner's eyes, and never mistaken for another file."""

from pathlib import Path

import pytest

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.resume_file import ResumeFile

TOKEN, NEXT = "A" * 92, "B" * 92


def test_what_was_written_is_read(tmp_path: Path) -> None:
    ResumeFile(tmp_path / "position").write(TOKEN)
    assert ResumeFile(tmp_path / "position").read() == TOKEN


def test_no_file_is_no_position(tmp_path: Path) -> None:
    assert ResumeFile(tmp_path / "position").read() is None


def test_the_file_is_its_owners_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = ResumeFile(tmp_path / "position")
    file.write(TOKEN)
    file.write(NEXT)
    assert (tmp_path / "position").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["position"]
    assert file.read() == NEXT


def test_a_draft_left_by_a_watch_that_was_killed_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".position.new").write_text("AAA", "utf-8")
    ResumeFile(tmp_path / "position").write(TOKEN)
    assert ResumeFile(tmp_path / "position").read() == TOKEN
    assert not (tmp_path / ".position.new").exists()


def test_a_position_that_did_not_move_is_not_written_again(tmp_path: Path) -> None:
    file = ResumeFile(tmp_path / "position")
    file.write(TOKEN)
    before = (tmp_path / "position").stat().st_ino
    file.write(TOKEN)
    assert (tmp_path / "position").stat().st_ino == before


def test_a_link_leads_to_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "position").symlink_to(tmp_path / "elsewhere" / "position")
    ResumeFile(tmp_path / "position").write(TOKEN)
    assert (tmp_path / "position").is_symlink()
    assert (tmp_path / "elsewhere" / "position").read_text("ascii").strip() == TOKEN


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"\n",
        b"short",
        b"two " + TOKEN.encode(),
        TOKEN.encode() * 200,
        b"\xff" * 92,
        b"%PDF-1.4 not a token of anybody's",
    ],
    ids=["empty", "blank", "short", "words", "long", "octets", "another kind"],
)
def test_what_is_no_token_is_refused_and_says_what_to_do(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "position").write_bytes(held)
    with pytest.raises(CommandError, match=r"holds no resume token .* delete it to begin at --since"):
        ResumeFile(tmp_path / "position").read()


def test_a_directory_is_named_for_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Is a directory"):
        ResumeFile(tmp_path).read()


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="the position cannot be recorded: No such file or directory"):
        ResumeFile(tmp_path / "missing" / "position").write(TOKEN)
