"""A mailbox, its mirror, and workers that are killed in the middle of a caller's change.

Each test kills a worker at one of the points between the commit that begins a change and the one that settles it (`ONCE`), at each of
the commands that it sends, then has another worker carry on.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from mailsync_grpc.content.spool import Spool
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import NO_FOLDER, Intent, IntentKind, IntentState
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, Counter
from tests.support.agreement import assert_agreed
from tests.support.changing import SELDOM
from tests.support.crash import Site
from tests.support.crash_child import SPOOL_KEY
from tests.support.mail import AnyMailbox, letters
from tests.support.mirror import Mirror

MESSAGES = 12
CHOSEN = UidSet.parse("2,4:5,9")
REQUEST = "8b9f6a9e-7d6c-4f35-9e0a-0a9a4d5a2f11"
ONCE = ("change_begun", "change_sent", "change_answered", "change_settled")


@dataclass(slots=True)
class Office:
    """A store with a mirror of a mailbox, no process running, in which changes are asked for."""

    site: Site
    mailbox: AnyMailbox

    def mirror(self) -> Mirror:
        mirror = Mirror(self.mailbox, SELDOM, self.site.open())
        mirror.sync.env = replace(mirror.sync.env, spool=self.spool)
        return mirror

    @property
    def spool(self) -> Spool:
        return Spool(self.site.directory / "data" / "spool", SPOOL_KEY, 1 << 30)

    def ask_append(self, octets: bytes, message_id: str) -> int:
        """Commit an intent to add a message to Sent, as the API does; return its number."""
        spool = self.spool
        draft = spool.create(len(octets))
        draft.add(octets)
        draft.finish()
        return self.ask(
            IntentKind.APPEND,
            "Sent",
            folder=NO_FOLDER,
            spool=draft.name,
            size=len(octets),
            message_id=message_id,
        )

    def ask(self, kind: IntentKind, target: str = "", **fields: object) -> int:
        """Commit an intent about `CHOSEN` of INBOX, as the API does; return its number."""
        mirror = self.mirror()
        with closing(mirror.store):
            inbox, number = mirror.folder()[0], mirror.store.allocate(Counter.INTENT)
            intent = Intent(
                mirror.account.key,
                number,
                1,
                kind,
                request_id=REQUEST,
                folder=inbox.no,
                uid_validity=inbox.uid_validity,
                uids=CHOSEN,
            )
            if target:
                intent = replace(intent, target=mirror.folder(target)[0].no)
            intent = replace(intent, **fields)  # type: ignore[arg-type] # fields of Intent, by name
            mirror.store.apply(Batch(mirror.account.key, intents=(intent,)))
        return number

    def folders(self) -> dict[str, Folder]:
        """The stored folders by path."""
        mirror = self.mirror()
        with closing(mirror.store):
            return {folder.display_name: folder for folder, _ in mirror.store.folders(mirror.account.no)}

    def folder(self, path: str) -> Folder:
        return self.folders()[path]

    def paths(self) -> list[str]:
        return sorted(self.folders())

    def carried_on(self, number: int) -> Intent:
        """Let another worker carry the change on; return it as it ended, with the mirror as it should be."""
        mirror = self.mirror()
        with closing(mirror.store), closing(mirror.sync):
            mirror.settle()
            intent = mirror.store.intent(mirror.account.no, number)
            assert intent is not None
            assert intent.state is IntentState.ENDED
            assert intent.visible > 0
            assert_agreed(mirror)
            return intent


def opened(tmp_path: Path, mailbox: AnyMailbox) -> Office:
    """Return an office over an INBOX of `MESSAGES` messages, mirrored."""
    mailbox.deliver(letters(MESSAGES))
    office = Office(Site(tmp_path), mailbox)
    mirror = office.mirror()
    with closing(mirror.store), closing(mirror.sync):
        mirror.settle()
    return office


def left() -> list[int]:
    """The UIDs of INBOX without the chosen."""
    return [uid for uid in range(1, MESSAGES + 1) if uid not in CHOSEN]
