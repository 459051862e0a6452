"""`mailsync key rotate`: a new master key for the mail credentials, whether or not a service runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mailsync_grpc.cli.local import ConfigOption, explained
from mailsync_grpc.cli.terminal import plain, plural, to_people
from mailsync_grpc.config import load
from mailsync_grpc.errors import ConfigError

app = typer.Typer(help="The master key, which seals the mail credentials.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `rotate` a command of its own, though it is the only one."""


@app.command("rotate")
def rotate(
    new_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the new key, 32 bytes in base64; needed where the settings give the key.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory of the store.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")] = False,
) -> None:
    """Seal every account's credentials under a new master key, while the service runs.

    Broken off at any point, it goes on where it was when it is run again.
    """
    with explained():
        settings = load(config, {"data_dir": data_dir})
        # Imported here: no other command needs the store.
        from mailsync_grpc.services import key_rotation  # noqa: PLC0415
        from mailsync_grpc.store.lmdb import open_store  # noqa: PLC0415
        from mailsync_grpc.vault import decode_key  # noqa: PLC0415

        new = None if new_key_file is None else decode_key("--new-key-file", _text(new_key_file))
        store = open_store(settings.data_dir, exclusive=False, max_bytes=settings.store.max_bytes)
        try:
            done = key_rotation.rotate(settings, store, new)
        finally:
            store.close()
    if as_json:
        print(json.dumps(done._asdict()))
        return
    said = [f"{plural(done.resealed, 'account')} sealed under the new key"]
    if done.unopened:
        said.append(f"{plural(done.unopened, 'account')} have no credentials that open; set them anew")
    said.append(
        "The old key is retired; keep a copy of the new one apart from the backups."
        if done.retired
        else f"Give the service the key of {new_key_file} at its next start. Until then both keys open; then the old is retired."
    )
    for line in said:
        to_people().print(plain(line), soft_wrap=True)


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--new-key-file: {error}") from None
