r"""Carrying out what callers asked for: each intent over a connection of its own, its state committed at every step.

ASKED becomes BEGUN by a commit that records what is needed to find out later what was done, and only then the first command is
sent; BEGUN becomes SETTLED by the commit of the outcome. So whatever happens in between, the next process finds the
intent BEGUN and knows that it must look before it sends (`change_messages`, `change_folders`,
`change_append`). A
connection that breaks is such a crash: one more is tried at once, then the account's own back-off decides. Where every try
breaks off, what the server does to this command would stop all else of the account, so that nobody knows is the outcome. SETTLED intents
end when the sync that follows has shown what they did, or could not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from mailsync_grpc.errors import ImapError, ImapProtocolError, MailsyncError
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState, Outcome
from mailsync_grpc.store import failpoints
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.sync.change_append import AppendChange
from mailsync_grpc.sync.change_flags import FlagChange
from mailsync_grpc.sync.change_folders import FolderChange
from mailsync_grpc.sync.change_metrics import UNSENT, count, word_for
from mailsync_grpc.sync.change_places import PlaceChange
from mailsync_grpc.sync.environment import Spool

UNSEEN = Revision(0)
MAX_TRIES = 5
"""How often a change that broke off is taken up before it is given up."""

log = structlog.get_logger()


class Work(Protocol):
    """One intent over one connection."""

    def begin(self) -> Intent:
        """Return the intent as it is to be recorded before the first command. Raises what refuses it as a whole."""
        ...

    def perform(self, resumed: bool) -> Outcome:
        """Send what is to be sent and return what became of it; `resumed`: some of it may have been sent before."""
        ...

    def known(self) -> Outcome:
        """Return what is known so far."""
        ...

    def give_up(self, error: MailsyncError) -> Outcome:
        """Return what is known when `error` ends the work although the connection is sound."""
        ...


@dataclass(frozen=True, slots=True)
class Intents:
    """The intents of one account. `connect` opens a connection for them; `now` is milliseconds since 1970, `spool` has
    the messages that are to be appended.
    """

    store: Store
    account: AccountKey
    now: Callable[[], int]
    spool: Spool

    def carry_out(self, connect: Callable[[], ChangingConnection]) -> None:
        """Carry out what is asked for or was begun. Raises ImapError, and what connecting raises, when that breaks off."""
        if not self._due():
            return
        try:
            self._over(connect())
        except ImapError:
            if not any(intent.state is IntentState.BEGUN for intent in self._due()):
                raise
            self._over(connect())

    def of_folders(self) -> bool:
        """Whether folders are to be changed."""
        return any(not intent.of_messages for intent in self._due())

    def settled(self) -> tuple[Intent, ...]:
        """Return the intents whose effect the mirror does not show yet, for all that is known."""
        return tuple(one for one in self._open() if one.state is IntentState.SETTLED)

    def end(self, intents: Iterable[Intent], visible: Revision = UNSEEN) -> None:
        """End settled intents, which the mirror shows from a revision on, or not (0)."""
        for intent in intents:
            self._put(self._ended(intent, visible=visible))

    def break_off(self, error: MailsyncError) -> None:
        """End what was not begun, with the reason, and what was settled, unseen; what was begun stays to be found out."""
        for intent in self._open():
            if intent.state is IntentState.ASKED:
                self._refuse(intent, error)
            elif intent.state is IntentState.SETTLED:
                self.end([intent])

    def _open(self) -> list[Intent]:
        return self.store.open_intents(self.account.no)

    def _due(self) -> list[Intent]:
        """Return what is to be carried out, what was begun first: what comes later must not be taken for its traces."""
        due = [one for one in self._open() if one.state is not IntentState.SETTLED]
        return sorted(due, key=lambda one: one.state is IntentState.ASKED)

    def _over(self, connection: ChangingConnection) -> None:
        with connection:
            for intent in self._due():
                self._carry(connection, intent)

    def _carry(self, connection: ChangingConnection, intent: Intent) -> None:
        if intent.state is IntentState.ASKED:
            begun = self._begin(connection, intent)
            if begun is not None:
                self._settle(begun, self._performed(connection, begun, resumed=False))
        elif intent.tries < MAX_TRIES:
            again = self._put(replace(intent, version=intent.version + 1, tries=intent.tries + 1))
            self._settle(again, self._performed(connection, again, resumed=True))
        else:
            log.warning("change_given_up", account=self.account.id, kind=intent.kind.name)
            error = ImapProtocolError("the server closed the connection each time")
            self._settle(intent, self._work(connection, intent).give_up(error))

    def _settle(self, intent: Intent, outcome: Outcome) -> None:
        self._put(replace(intent, version=intent.version + 1, state=IntentState.SETTLED, outcome=outcome))
        count(intent, word_for(outcome), self.now())
        failpoints.hit("change_settled")

    def _begin(self, connection: ChangingConnection, intent: Intent) -> Intent | None:
        """Commit the intent as begun; None when it was refused."""
        try:
            begun = self._work(connection, intent).begin()
        except MailsyncError as error:
            if connection.closed:
                raise
            self._refuse(intent, error)
            return None
        self._put(begun)
        failpoints.hit("change_begun")
        return begun

    def _performed(self, connection: ChangingConnection, intent: Intent, *, resumed: bool) -> Outcome:
        work = self._work(connection, intent)
        try:
            return work.perform(resumed)
        except MailsyncError as error:
            if not connection.closed:
                return work.give_up(error)
            known = work.known()
            if known != intent.outcome:
                self._put(replace(intent, version=intent.version + 1, outcome=known))
            raise

    def _work(self, connection: ChangingConnection, intent: Intent) -> Work:
        match intent.kind:
            case IntentKind.MODIFY_FLAGS:
                return FlagChange(self.store, connection, intent)
            case IntentKind.COPY | IntentKind.MOVE | IntentKind.EXPUNGE:
                return PlaceChange(self.store, connection, intent)
            case IntentKind.APPEND:
                return AppendChange(self.store, connection, intent, self.spool)
        return FolderChange(self.store, connection, intent)

    def _refuse(self, intent: Intent, error: MailsyncError) -> None:
        log.info("change_refused", account=self.account.id, kind=intent.kind.name, reason=error.reason)
        self._put(self._ended(intent, outcome=Outcome.failed(error)))
        count(intent, UNSENT, self.now())

    def _ended(self, intent: Intent, *, outcome: Outcome | None = None, visible: Revision = UNSEEN) -> Intent:
        return replace(
            intent,
            version=intent.version + 1,
            state=IntentState.ENDED,
            outcome=outcome or intent.outcome,
            visible=visible,
            end_time=self.now(),
        )

    def _put(self, intent: Intent) -> Intent:
        self.store.apply(Batch(self.account, intents=(intent,)))
        if intent.spool and intent.state >= IntentState.SETTLED:
            self.spool.remove(intent.spool)
        return intent
