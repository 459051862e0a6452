"""The demo's last act: events printed as they come, while the second client changes the mailbox step by step.

The service is asked for a sync after each change, so that nobody waits for the next poll; without that the poll would
find the same. A step that is not seen in time is remembered and told at the end, and the script goes on.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.text import Text

from mailsync_grpc.cli.demo.mail import DemoMail
from mailsync_grpc.cli.demo.script import Step
from mailsync_grpc.cli.event_view import event_text
from mailsync_grpc.cli.follow import follow
from mailsync_grpc.cli.session import Session
from mailsync_grpc.v1.account_service_pb2 import StartSyncRequest
from mailsync_grpc.v1.event_pb2 import Event
from mailsync_grpc.v1.event_service_pb2 import EventFilter, WatchEventsRequest

_STEP_SECONDS = 60.0
# Not the syncs that the demo asks for, nor what they find about the folders.
_TOLD = {"envelope_added", "envelope_updated", "flags_changed", "envelope_moved", "envelopes_removed"}


@dataclass(frozen=True, slots=True)
class Mirror:
    """The account being watched: its name, its folders' names by path, and where its listing left off."""

    account: str
    folders: dict[str, str]
    resume_token: str


@dataclass(slots=True)
class _Seen:
    """Events since the last step, and a bell that rings when one is added."""

    events: list[Event] = field(default_factory=list)
    bell: asyncio.Event = field(default_factory=asyncio.Event)


async def play(
    session: Session, mirror: Mirror, mail: DemoMail, script: Iterable[Step], pause: float
) -> list[str]:
    """Perform the steps, ``pause`` seconds apart, printing every event; the kinds of those that were not seen."""
    seen = _Seen()
    watching = asyncio.create_task(_print_events(session, mirror, seen))
    try:
        missed = []
        for step in script:
            if not await _perform(session, mirror, mail, step, seen, watching):
                missed.append(step.kind)
            await asyncio.sleep(pause)
        return missed
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _print_events(session: Session, mirror: Mirror, seen: _Seen) -> None:
    paths = {name: path for path, name in mirror.folders.items()}
    request = WatchEventsRequest(
        resume_token=mirror.resume_token, filter=EventFilter(accounts=[mirror.account]), label="demo"
    )
    async for response in follow(session.target, request):
        for event in response.events:
            if event.WhichOneof("payload") in _TOLD:
                session.out.print(Text("    ") + event_text(event, paths), soft_wrap=True)
        seen.events.extend(response.events)
        seen.bell.set()


async def _perform(
    session: Session, mirror: Mirror, mail: DemoMail, step: Step, seen: _Seen, watching: asyncio.Task[None]
) -> bool:
    session.out.print(Text(f"  * another mail program {step.sentence}", style="dim"))
    seen.events.clear()
    await asyncio.to_thread(_change, session, mirror, mail, step)
    waiting = asyncio.create_task(_until_seen(step, seen))
    await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        waiting.cancel()
        watching.result()
    return await waiting


def _change(session: Session, mirror: Mirror, mail: DemoMail, step: Step) -> None:
    with mail.connect() as client:
        step.do(client)
    folders = [mirror.folders[path] for path in step.folders]
    session.call(session.accounts.StartSync, StartSyncRequest(name=mirror.account, folders=folders))


async def _until_seen(step: Step, seen: _Seen) -> bool:
    deadline = time.monotonic() + _STEP_SECONDS
    while not step.seen(seen.events):
        seen.bell.clear()
        try:
            await asyncio.wait_for(seen.bell.wait(), deadline - time.monotonic())
        except TimeoutError:
            return False
    return True
