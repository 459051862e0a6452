"""The mailbox of the scenario, changed by a second client that knows nothing of mailsync, at random but repeatably."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from random import Random

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from tests.support.mail import Mailbox

FOLDERS = ("INBOX", "Sent", "Archive")
_SUBJECTS = ("Quarterly figures", "Grüße aus Zürich", "会議の議事録", "Re: invoice 12:34, again", "")
_FLAGS = (r"\Seen", r"\Flagged", r"\Answered", "work", "$Forwarded")
_START = datetime(2026, 1, 1, tzinfo=UTC)


class BusyMailbox:
    """One user's mail and the changes to it; the same seed gives the same changes."""

    def __init__(self, server: DovecotServer, user: str, seed: int) -> None:
        self.user = user
        self._mailbox = Mailbox(server, user)
        self._random = Random(seed)
        self._delivered = 0

    def fill(self, messages: int) -> None:
        """Deliver history."""
        for folder in FOLDERS:
            self._deliver(folder, messages)

    def change(self, times: int) -> None:
        """So many random changes: arrivals, flags, removals, moves."""
        for _ in range(times):
            folder, other = self._random.sample(FOLDERS, 2)
            uids = sorted(self._mailbox.flags_by_uid(folder))
            some = ",".join(map(str, self._random.sample(uids, min(len(uids), self._random.randint(1, 4)))))
            kind = self._random.choices(("deliver", "flag", "expunge", "move"), (4, 4, 1, 2))[0]
            if kind == "deliver":
                self._deliver(folder, self._random.randint(1, 5))
            elif kind == "flag":
                sign = self._random.choice("+-")
                self._mailbox.store(some, f"{sign}FLAGS.SILENT ({self._random.choice(_FLAGS)})", folder)
            elif kind == "expunge":
                self._mailbox.expunge(some, folder)
            else:
                self._mailbox.move(some, other, folder)

    def held(self, folder: str) -> dict[int, frozenset[str]]:
        """What the mail server holds: each UID with its flags."""
        return self._mailbox.flags_by_uid(folder)

    def _deliver(self, folder: str, messages: int) -> None:
        self._mailbox.deliver([self._message() for _ in range(messages)], folder)

    def _message(self) -> bytes:
        self._delivered += 1
        message = EmailMessage()
        message["From"] = "Ada <ada@example.org>"
        message["To"] = f"{self.user}@example.org"
        message["Subject"] = self._random.choice(_SUBJECTS)
        message["Date"] = _START + timedelta(minutes=self._delivered)
        message["Message-ID"] = f"<{self._delivered}@example.org>"
        message.set_content("x" * self._random.randint(1, 200))
        return message.as_bytes()
