"""Waiting for intents to end, and the errors that they end with.

One task waits for all callers, in short reads of the store, as long as there are any.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mailsync_grpc import errors
from mailsync_grpc.errors import AccountNotFoundError, MailsyncError
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.ids import account_name
from mailsync_grpc.model.intent import Intent, Outcome
from mailsync_grpc.services.core import Core

Place = tuple[AccountKey, int]
"""Account and number of an intent."""
_WAIT: Final = 0.5  # seconds; bounds how long a thread outlives the last caller
_ERRORS: Final[dict[str, Callable[[str], MailsyncError]]] = {
    kind.reason: kind
    for kind in (
        errors.MailsyncError,
        errors.AccountPausedError,
        errors.CredentialsNeededError,
        errors.FolderNotSelectableError,
        errors.ImapAuthError,
        errors.ImapProtocolError,
        errors.ImapRefusedError,
        errors.ImapTlsError,
        errors.ImapUnreachableError,
        errors.OutcomeUnknownError,
        errors.QuotaExceededError,
        errors.StoreCorruptError,
        errors.StoreFullError,
        errors.UidValidityChangedError,
        errors.UnsafeArgumentError,
    )
}
_NAMING: Final[dict[str, Callable[[str], MailsyncError]]] = {
    kind.reason: kind for kind in (errors.FolderExistsError, errors.FolderNotFoundError)
}


class Ends:
    """Tells callers how their intents ended. Belongs to one event loop."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: dict[Place, set[asyncio.Future[Intent]]] = {}
        self._watch: asyncio.Task[None] | None = None

    async def of(self, asked: Intent) -> Intent:
        """Return the intent as it ended. Raises AccountNotFoundError when its account is removed before that."""
        place = (asked.account, asked.no)
        future: asyncio.Future[Intent] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, set()).add(future)
        try:
            await self._look(place)
            if self._watch is None or self._watch.done():
                self._watch = asyncio.create_task(self._look_on())
            return await future
        finally:
            self._waiting[place].discard(future)
            if not self._waiting[place]:
                del self._waiting[place]

    async def _look_on(self) -> None:
        seen = 0
        try:
            while self._waiting:
                put = await self._core.run(self._core.store.wait_for_intents, seen, _WAIT)
                if put > seen:
                    await self._look(*self._waiting)
                seen = put
        except Exception as error:  # noqa: BLE001 - each caller raises it
            for future in [one for waiting in self._waiting.values() for one in waiting if not one.done()]:
                future.set_exception(error)

    async def _look(self, *places: Place) -> None:
        """Tell who waits for these intents which of them have ended or went with their accounts."""
        read = self._core.store.intent
        found = await self._core.run(lambda: [read(account.no, number) for account, number in places])
        for place, intent in zip(places, found, strict=True):
            for future in self._waiting.get(place, ()):
                if not future.done():
                    _tell(future, place, intent)


def _tell(future: "asyncio.Future[Intent]", place: Place, intent: Intent | None) -> None:
    if intent is None:
        future.set_exception(AccountNotFoundError(account_name(place[0].id)))
    elif intent.ended:
        future.set_result(intent)


def error_of(outcome: Outcome) -> MailsyncError:
    """Return the error that an intent ended with."""
    reason, message = outcome.error_reason, outcome.error_message
    if reason in _NAMING:
        return _NAMING[reason](message.partition(": ")[2])
    return _ERRORS.get(reason, errors.OutcomeUnknownError)(message)
