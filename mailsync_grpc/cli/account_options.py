"""What people edit of an account: the options that say it, and how they are written into the request."""

from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.window_text import window_of
from mailsync_grpc.v1.account_pb2 import Account, SyncMode


class Mode(StrEnum):
    """How much is mirrored."""

    FULL = "full"
    MINIMAL = "minimal"


_MODES = {Mode.FULL: SyncMode.SYNC_MODE_FULL_METADATA, Mode.MINIMAL: SyncMode.SYNC_MODE_MINIMAL}

NameOption = Annotated[str | None, typer.Option(help="A name for people.", show_default=False)]
EmailOption = Annotated[str | None, typer.Option(help="Its e-mail address.", show_default=False)]
PollOption = Annotated[
    float | None, typer.Option(help="Seconds between polls, 10 to 3600.", show_default=False)
]
FullOption = Annotated[
    float | None, typer.Option(help="Seconds between full comparisons, 600 and more.", show_default=False)
]
LabelOption = Annotated[
    list[str], typer.Option("--label", metavar="KEY=VALUE", help="For selection.", show_default=False)
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        metavar="all|since:DATE|last:SPAN|newest:N",
        help="Which messages are kept here: all, since:2026-01-31, last:1y6m10d, newest:5000 of each folder.",
        show_default=False,
    ),
]

ModeOption = Annotated[
    Mode | None,
    typer.Option(
        help="minimal: UIDs and flags only, metadata when it is asked for; full unless given.",
        show_default=False,
    ),
]


def describe(
    account: Account,
    name: str | None,
    email: str | None,
    labels: list[str],
    poll_interval: float | None,
    full_interval: float | None,
    window: str | None,
    mode: Mode | None,
) -> list[str]:
    """Set what is given, and return the paths of those fields for an update mask."""
    paths = []
    if name is not None:
        account.display_name = name
        paths.append("display_name")
    if email is not None:
        account.email_address = email
        paths.append("email_address")
    if labels:
        account.labels.update(labels_of(labels))
        paths.append("labels")
    if poll_interval is not None:
        _set_seconds(account.sync.poll_interval, poll_interval)
        paths.append("sync.poll_interval")
    if full_interval is not None:
        _set_seconds(account.sync.full_interval, full_interval)
        paths.append("sync.full_interval")
    if window is not None:
        account.sync.window.CopyFrom(window_of(window))
        paths.append("sync.window")
    if mode is not None:
        account.sync.mode = _MODES[mode]
        paths.append("sync.mode")
    return paths


def _set_seconds(duration: Duration, seconds: float) -> None:
    # The service knows what is allowed; here only what no Duration holds is refused.
    if not abs(seconds) < 1e9:
        raise CommandError(f"not a number of seconds: {seconds:g}")
    duration.FromMilliseconds(round(seconds * 1000))


def labels_of(pairs: list[str]) -> dict[str, str]:
    """Return the labels written KEY=VALUE."""
    for pair in pairs:
        if "=" not in pair:
            raise CommandError(f"not a label: {pair} (expected KEY=VALUE)")
    return dict(pair.split("=", 1) for pair in pairs)
