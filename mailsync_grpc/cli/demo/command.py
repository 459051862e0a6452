"""`mailsync demo`: a mail server, a service, an account, its first sync, its folders and messages, and then live events.

Everything runs on loopback, in a temporary directory and in processes of the demo's own; at the end, or at Ctrl-C,
nothing of it is left.
"""

import asyncio
import imaplib
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mailsync_grpc.cli.demo import show
from mailsync_grpc.cli.demo.dovecot import DovecotFailedError
from mailsync_grpc.cli.demo.live import Mirror, play
from mailsync_grpc.cli.demo.mail import DemoMail, demo_mail
from mailsync_grpc.cli.demo.pymap_server import PymapFailedError, PymapMissingError
from mailsync_grpc.cli.demo.script import endless, steps
from mailsync_grpc.cli.demo.service import ServiceFailedError, demo_service
from mailsync_grpc.cli.failures import CommandError, reported
from mailsync_grpc.cli.session import Session, Target, open_session
from mailsync_grpc.cli.terminal import to_people

_INTERRUPTED = 130
_PAUSE_SECONDS = 3.0
_FAILURES = (
    DovecotFailedError,
    PymapMissingError,
    PymapFailedError,
    ServiceFailedError,
    imaplib.IMAP4.error,
)


def demo(
    once: Annotated[
        bool,
        typer.Option("--once", help="End once every kind of event was seen; exit status 1 if one was not."),
    ] = False,
) -> None:
    """Show it live on a demo mailbox, until Ctrl-C. Needs no account and no other terminal."""
    try:
        with _stopped_like_ctrl_c(), reported("the demo's service"):
            _play(once=once)
    except KeyboardInterrupt:
        to_people().print("\nstopped; nothing is left behind", style="dim")
        raise typer.Exit(_INTERRUPTED) from None


def _play(*, once: bool) -> None:
    try:
        with _stage() as (session, mail):
            _run(session, mail, once=once)
    except _FAILURES as error:
        raise CommandError(str(error)) from None


def _run(session: Session, mail: DemoMail, *, once: bool) -> None:
    mirror = show.mirror_account(session, mail)
    show.print_newest(session, mirror)
    show.download_attachment(session, mirror)
    show.print_live_heading(session, mail, once=once)
    missed = asyncio.run(_live(session, mirror, mail, once=once))
    if missed:
        raise CommandError(f"not seen in time: {', '.join(missed)}")
    session.out.print("\nevery kind of change was seen", style="green")


async def _live(session: Session, mirror: Mirror, mail: DemoMail, *, once: bool) -> list[str]:
    if once:
        return await play(session, mirror, mail, steps(1, keywords=mail.keeps_keywords), pause=0)
    return await play(session, mirror, mail, endless(keywords=mail.keeps_keywords), _PAUSE_SECONDS)


@contextmanager
def _stage() -> Iterator[tuple[Session, DemoMail]]:
    """Mail server and service, up and filled, while the block runs."""
    out = to_people()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailsync-demo-")))
        mail = stack.enter_context(demo_mail())
        show.print_mail_server(out, mail)
        address = stack.enter_context(demo_service(directory))
        show.print_service(out, address)
        yield stack.enter_context(open_session(Target(address))), mail


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: with everything it started."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
