"""Files at rest: read back what was written, show nothing, open nothing that was changed."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from mailsync_grpc.content.sealed import CHUNK, CorruptEntryError, SealedFile
from tests.unit.content.fakes import KEY

NAME = b"n" * 32


def write(path: Path, content: bytes, name: bytes = NAME, *, finish: bool = True) -> None:
    file = SealedFile.create(path, KEY, name, b"description")
    file.append(content)
    if finish:
        file.finish()
    file.close()


def read(path: Path, name: bytes = NAME, key: bytes = KEY) -> bytes:
    file = SealedFile.open(path, key, name)
    try:
        return file.read(0, file.size)
    finally:
        file.close()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_content_is_read_back_as_written(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    write(tmp_path / "file", content[:size])
    assert read(tmp_path / "file") == content[:size]


def test_a_file_is_readable_from_any_chunk_while_it_is_written(tmp_path: Path) -> None:
    file = SealedFile.create(tmp_path / "file", KEY, NAME, b"")
    file.append(b"a" * CHUNK)
    file.append(b"b" * CHUNK + b"c")
    assert file.read(CHUNK, 10 * CHUNK) == b"b" * CHUNK + b"c"
    file.close()


def test_nothing_of_content_or_description_is_readable_at_rest(tmp_path: Path) -> None:
    write(tmp_path / "file", b"a secret " * 100)
    stored = (tmp_path / "file").read_bytes()
    assert b"secret" not in stored
    assert b"description" not in stored
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_equal_content_is_stored_differently_each_time(tmp_path: Path) -> None:
    write(tmp_path / "one", b"same")
    write(tmp_path / "two", b"same")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()


def test_any_changed_octet_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "file", b"content")
    sound = (tmp_path / "file").read_bytes()
    for position in range(len(sound)):
        changed = bytearray(sound)
        changed[position] ^= 1
        (tmp_path / "file").write_bytes(changed)
        with pytest.raises(CorruptEntryError):
            read(tmp_path / "file")


def test_no_beginning_of_a_file_passes_for_the_file(tmp_path: Path) -> None:
    write(tmp_path / "file", b"x" * (CHUNK + 5))
    sound = (tmp_path / "file").read_bytes()
    ends = [0, 1, 23, 24, 60, len(sound) - CHUNK, len(sound) - 24, len(sound) - 1]
    assert all(one < other for one, other in pairwise(ends))
    for end in ends:
        (tmp_path / "file").write_bytes(sound[:end])
        with pytest.raises(CorruptEntryError):
            read(tmp_path / "file")


def test_a_file_without_its_end_is_not_whole(tmp_path: Path) -> None:
    write(tmp_path / "file", b"x" * CHUNK, finish=False)
    with pytest.raises(CorruptEntryError):
        read(tmp_path / "file")


def test_chunks_cannot_change_places(tmp_path: Path) -> None:
    write(tmp_path / "file", b"a" * CHUNK + b"b" * CHUNK)
    sound = (tmp_path / "file").read_bytes()
    sealed = CHUNK + 16
    start = len(sound) - 24 - 2 * sealed
    first, second = sound[start : start + sealed], sound[start + sealed : start + 2 * sealed]
    (tmp_path / "file").write_bytes(sound[:start] + second + first + sound[start + 2 * sealed :])
    with pytest.raises(CorruptEntryError):
        read(tmp_path / "file")


def test_a_file_that_lacks_a_chunk_does_not_open(tmp_path: Path) -> None:
    write(tmp_path / "file", b"a" * 3 * CHUNK)
    sound = (tmp_path / "file").read_bytes()
    sealed, end = CHUNK + 16, 8 + 16
    (tmp_path / "file").write_bytes(sound[: -end - sealed] + sound[-end:])
    with pytest.raises(CorruptEntryError):
        SealedFile.open(tmp_path / "file", KEY, NAME)


def test_a_file_opens_under_its_own_name_and_key_only(tmp_path: Path) -> None:
    write(tmp_path / "file", b"content")
    with pytest.raises(CorruptEntryError):
        read(tmp_path / "file", name=b"m" * 32)
    with pytest.raises(CorruptEntryError):
        read(tmp_path / "file", key=b"l" * 32)


def test_a_file_that_loses_a_whole_chunk_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"a" * 3 * CHUNK)
    file = SealedFile.open(path, KEY, NAME)
    end, last_chunk = 8 + 16, CHUNK + 16
    with path.open("r+b") as handle:
        handle.truncate(path.stat().st_size - end - last_chunk)
    with pytest.raises(CorruptEntryError):
        file.read(0, file.size)
    file.close()


def test_a_file_that_is_closed_again_closes_nobody_elses(tmp_path: Path) -> None:
    """The system gives the number of a closed file to the next one that is opened, a connection perhaps."""
    write(tmp_path / "file", b"content")
    file = SealedFile.open(tmp_path / "file", KEY, NAME)
    file.close()
    with (tmp_path / "other").open("w+b") as other:
        other.write(b"other" * 100)
        other.flush()
        file.close()
        assert os.fstat(other.fileno()).st_size == 500
        with pytest.raises(OSError, match="descriptor"):
            file.read(0, 7)
