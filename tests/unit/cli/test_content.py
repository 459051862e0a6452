"""What becomes of downloaded content: whole and verified, or nothing."""

import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.cli.content import content_request, receive, to_file, to_stdout
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.v1.content_service_pb2 import (
    ContentHeader,
    ContentKind,
    ContentTrailer,
    DownloadContentResponse,
)


def pieces(
    *chunks: bytes, media_type: str = "text/plain", section: str = "1", trailer: ContentTrailer | None = None
) -> Iterator[DownloadContentResponse]:
    yield DownloadContentResponse(header=ContentHeader(media_type=media_type, section=section))
    for chunk in chunks:
        yield DownloadContentResponse(chunk=chunk)
    body = b"".join(chunks)
    whole = ContentTrailer(size=len(body), sha256=hashlib.sha256(body).digest())
    yield DownloadContentResponse(trailer=trailer or whole)


def test_chunks_arrive_in_order_and_the_trailer_agrees() -> None:
    body = bytearray()
    trailer = receive(pieces(b"one ", b"two"), body.extend)
    assert bytes(body) == b"one two"
    assert trailer.size == 7


def test_a_stream_without_a_trailer_is_an_error() -> None:
    broken = list(pieces(b"one"))[:-1]
    with pytest.raises(CommandError, match="broke off after 3 B"):
        receive(broken, lambda _: None)


@pytest.mark.parametrize(
    "trailer",
    [
        ContentTrailer(size=4, sha256=hashlib.sha256(b"one").digest()),
        ContentTrailer(size=3, sha256=hashlib.sha256(b"two").digest()),
    ],
)
def test_a_trailer_that_differs_from_what_arrived_is_an_error(trailer: ContentTrailer) -> None:
    with pytest.raises(CommandError, match="not what was sent"):
        receive(pieces(b"one", trailer=trailer), lambda _: None)


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "part"
    with pytest.raises(CommandError):
        to_file(list(pieces(b"one"))[:-1], target)
    assert list(tmp_path.iterdir()) == []
    to_file(pieces(b"one"), target)
    assert target.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_written_is_named_as_the_caller_did(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "none" / "part"):
        with pytest.raises(CommandError, match=f"^{target}: "):
            to_file(pieces(b"one"), target)


def test_an_older_file_stays_when_the_download_fails(tmp_path: Path) -> None:
    target = tmp_path / "part"
    target.write_bytes(b"older")
    with pytest.raises(CommandError):
        to_file(list(pieces(b"one"))[:-1], target)
    assert target.read_bytes() == b"older"


def test_binary_content_is_refused_on_a_terminal_before_a_byte_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(CommandError, match="image/png is not for a terminal"):
        to_stdout(pieces(b"\x89PNG", media_type="image/png"), is_terminal=True)
    assert not capsys.readouterr().out


def test_text_on_a_terminal_shows_control_characters_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    to_stdout(pieces("Grüße\r\n".encode()[:4], "Grüße\r\n".encode()[4:], b"\x1b[2J"), is_terminal=True)
    assert capsys.readouterr().out == "Grüße\n\\x1b[2J"


def test_a_pipe_gets_the_octets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    to_stdout(pieces(b"\x89PNG\r\n", media_type="image/png"), is_terminal=False)
    out.seek(0)
    assert out.buffer.read() == b"\x89PNG\r\n"


def test_the_text_is_downloaded_unless_something_else_is_chosen() -> None:
    assert content_request("n", None, []).kind == ContentKind.CONTENT_KIND_TEXT
    assert content_request("n", None, [ContentKind.CONTENT_KIND_RAW]).kind == ContentKind.CONTENT_KIND_RAW
    assert content_request("n", "1.2", []).section == "1.2"


def test_two_choices_at_once_are_refused() -> None:
    with pytest.raises(CommandError, match="choose one"):
        content_request("n", "1", [ContentKind.CONTENT_KIND_HTML])
