"""`mailsync content`: one part of a message, its text, its HTML, its headers or the whole of it; and the cache of these.

What arrives is counted and hashed as it is written and compared with the trailer at the end: a stream that breaks off is
an error, never a short file. Content is a stranger's: nothing but text goes to a terminal, and text only with its
control characters shown as escapes; a file is named by the caller alone, never by the message.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Annotated, Any

import typer
from typer.core import TyperGroup

from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.names import account_resource, envelope_resource
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import octets, plain, printable, word
from mailsync_grpc.v1.content_service_pb2 import (
    ContentHeader,
    ContentKind,
    ContentTrailer,
    DecodingWarning,
    DownloadContentRequest,
    DownloadContentResponse,
)
from mailsync_grpc.v1.system_service_pb2 import PurgeContentCacheRequest


class _GetUnlessNamed(TyperGroup):
    """`mailsync content ENVELOPE` is `mailsync content get ENVELOPE`: no envelope is named like a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # typer keeps its context's type to itself
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["get", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_GetUnlessNamed, help="Content of messages, and its cache.", no_args_is_help=True)


@app.command("get")
@connected
def content(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(
            metavar="ENVELOPE", help="ACCOUNT/ENVELOPE_ID, or its whole name.", show_default=False
        ),
    ],
    section: Annotated[
        str | None, typer.Option(help="A part by its number, such as 2 or 1.2.", show_default=False)
    ] = None,
    content_id: Annotated[
        str | None,
        typer.Option("--id", help="A part by its Content-ID, as cid: links name it.", show_default=False),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="The text (the default).")] = False,
    html: Annotated[bool, typer.Option("--html", help="The HTML.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The whole message as the mail server has it.")] = False,
    headers: Annotated[bool, typer.Option("--headers", help="The header.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.", show_default=False)
    ] = None,
) -> None:
    """Download content of a message without marking it as read; `get` may be left out."""
    chosen = [
        kind
        for wanted, kind in (
            (text, ContentKind.CONTENT_KIND_TEXT),
            (html, ContentKind.CONTENT_KIND_HTML),
            (raw, ContentKind.CONTENT_KIND_RAW),
            (headers, ContentKind.CONTENT_KIND_HEADERS),
        )
        if wanted
    ]
    request = content_request(envelope_resource(name), section, chosen, content_id)
    pieces = session.content.DownloadContent(request, metadata=session.target.metadata)
    if output is None:
        trailer = to_stdout(pieces, is_terminal=sys.stdout.isatty())
    else:
        trailer = to_file(pieces, output)
        session.beside.print(plain(f"{output}: {octets(trailer.size)}, checksum verified"))
    for warning in trailer.decoding_warnings:
        session.beside.print(f"warning: {word(DecodingWarning.Name(warning), 'DECODING_WARNING_')}")


@app.command("purge")
@connected
def purge(
    session: Session,
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACCOUNT]", help="Its id, such as work; all without one.", show_default=False
        ),
    ] = None,
) -> None:
    """Drop cached content, of one account or of all; it is fetched again when asked for."""
    request = PurgeContentCacheRequest(account=account_resource(account) if account else "")
    dropped = session.call(session.system.PurgeContentCache, request)
    if session.json:
        session.print_json(dropped)
    else:
        session.out.print(f"{dropped.entries} entries dropped, {octets(dropped.size)}")


def content_request(
    name: str, section: str | None, kinds: list[ContentKind.ValueType], content_id: str | None = None
) -> DownloadContentRequest:
    """The request for what was chosen: the text when nothing was. CommandError for more than one choice."""
    if len(kinds) + (section is not None) + (content_id is not None) > 1:
        raise CommandError("choose one of --section, --id, --text, --html, --raw and --headers")
    request = DownloadContentRequest(name=name, decode=True)
    if section is not None:
        request.section = section
    elif content_id is not None:
        request.content_id = content_id
    else:
        request.kind = kinds[0] if kinds else ContentKind.CONTENT_KIND_TEXT
    return request


def to_stdout(pieces: Iterable[DownloadContentResponse], *, is_terminal: bool) -> ContentTrailer:
    """Write to standard output. CommandError for binary content on a terminal, and as ``receive``."""
    if not is_terminal:
        return receive(pieces, sys.stdout.buffer.write)
    body = bytearray()
    # Whole before shown: a chunk may end within a character.
    trailer = receive(pieces, body.extend, refuse=_refuse_binary)
    print(printable(body.decode("utf-8", "replace").replace("\r\n", "\n"), layout=True), end="")
    return trailer


def to_file(pieces: Iterable[DownloadContentResponse], path: Path) -> ContentTrailer:
    """Write a file that appears only once it is complete and verified. CommandError as ``receive``, or names the file."""
    try:
        with _whole_or_not(path) as file:
            return receive(pieces, file.write)
    except OSError as error:
        # Its own name, not that of the draft beside it.
        raise CommandError(f"{path}: {error.strerror}") from None


def receive(
    pieces: Iterable[DownloadContentResponse],
    write: Callable[[bytes], object],
    refuse: Callable[[ContentHeader], None] = lambda _: None,
) -> ContentTrailer:
    """Hand each chunk to ``write`` and return the trailer, once size and SHA-256 (FIPS 180-4) agree with it.

    CommandError when they do not, or when the stream ends without a trailer.
    """
    digest, size, trailer = hashlib.sha256(), 0, None
    for piece in pieces:
        if piece.HasField("header"):
            refuse(piece.header)
        elif piece.HasField("chunk"):
            digest.update(piece.chunk)
            size += len(piece.chunk)
            write(piece.chunk)
        elif piece.HasField("trailer"):
            trailer = piece.trailer
    if trailer is None:
        raise CommandError(f"the download broke off after {octets(size)}")
    if (trailer.size, trailer.sha256) != (size, digest.digest()):
        raise CommandError("what arrived is not what was sent: size or SHA-256 differ from the trailer's")
    return trailer


def _refuse_binary(header: ContentHeader) -> None:
    # Headers and raw messages come without a charset; they are shown as text of whatever octets they have.
    if header.section and not header.media_type.startswith(("text/", "message/")):
        raise CommandError(f"{header.media_type} is not for a terminal: use -o FILE or a pipe")


@contextmanager
def _whole_or_not(path: Path) -> Iterator[IO[bytes]]:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file.file
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
