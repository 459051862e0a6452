"""Asking for changes of the mail server: an intent committed once, carried out by a sync worker.

The row is durable before anybody acts on it, so a caller that leaves, or a server that dies, loses no change and repeats
none. The commit of the row also records where it is under the call's request_id: a repeat within 24 h gets the answer
that the row holds, or REQUEST_IN_PROGRESS while there is none. One that was refused before anything was sent is asked
for anew by a repeat.
"""

from collections.abc import Callable
from dataclasses import replace
from struct import Struct
from typing import Final

from google.protobuf.message import Message

from mailsync_grpc.errors import (
    OutcomeUnknownError,
    QuotaExceededError,
    RequestInProgressError,
)
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.intent_ends import Ends, error_of
from mailsync_grpc.services.requests import Mutations, refuse_other, request_id_of
from mailsync_grpc.store import failpoints
from mailsync_grpc.store.base import Batch, ConflictError, Counter
from mailsync_grpc.store.values import RecordedAnswer

_PLACE: Final = Struct(">IQ")  # account and number of the intent that answers a request
MAX_OPEN: Final = 256
"""Changes of one account that wait at a time: they are carried out one after the other, and read as a whole."""
MAX_SPOOLED: Final = 16
"""Messages of the largest size (append.max_bytes) that wait on disk for one account, in octets."""


class Asking:
    """Asks for changes and waits until they ended. `decide` of a call returns the intent, without its number."""

    def __init__(self, core: Core, mutations: Mutations) -> None:
        self._core = core
        self._mutations = mutations
        self._ends = Ends(core)

    async def once(self, request: Message, decide: Callable[[], Intent]) -> Intent:
        """Return the intent of this request once it has ended, with an outcome that tells messages apart.

        Raises what `decide` does, RequestInProgressError, RequestIdReusedError, and what refused the change as a whole.
        """
        return await self.ended(await self.ask(request, decide))

    async def ask(self, request: Message, decide: Callable[[], Intent], more: bytes = b"") -> Intent:
        """Return the intent of this request, asked for now or before; `more` belongs to what the request says."""
        return await self._core.run_to_end(self._asked, request, request_id_of(request), decide, more)

    async def ended(self, asked: Intent) -> Intent:
        """Return the intent once it has ended. Raises what refused the change as a whole."""
        ended = asked if asked.ended else await self._ends.of(asked)
        if ended.outcome.error_reason:
            raise error_of(ended.outcome)
        return ended

    def _asked(self, request: Message, request_id: str, decide: Callable[[], Intent], more: bytes) -> Intent:
        scope = f"intent:{current().name} {request.DESCRIPTOR.full_name}"
        record = RecordedAnswer(scope, request_id, self._mutations.fingerprint(request) + more, b"")
        known = self._known(record, decide) if request_id else None
        if known is not None:
            return known
        try:
            return self._put(decide(), record if request_id else None)
        except ConflictError:
            raise RequestInProgressError(
                "a call with this request_id was a moment earlier; repeat it"
            ) from None

    def _put(self, intent: Intent, record: RecordedAnswer | None) -> Intent:
        self._refuse_beyond(intent)
        number = self._core.store.allocate(Counter.INTENT)
        request_id = record.request_id if record else ""
        intent = replace(intent, no=number, version=1, request_id=request_id, create_time=self._core.now_ms())
        if record is not None:
            record = record._replace(response=_PLACE.pack(intent.account.no, number))
        failpoints.hit("before_intent")
        self._core.store.apply(Batch(intent.account, intents=(intent,), answer=record))
        failpoints.hit("after_intent")
        return intent

    def _refuse_beyond(self, intent: Intent) -> None:
        """Raise QuotaExceededError where the account has no room for one more change."""
        waiting = self._core.store.open_intents(intent.account.no)
        if len(waiting) >= MAX_OPEN:
            raise QuotaExceededError(f"{MAX_OPEN} changes of this account wait; repeat it later")
        octets = MAX_SPOOLED * self._core.config.append.max_bytes
        if intent.size and intent.size + sum(one.size for one in waiting) > octets:
            raise QuotaExceededError(
                f"messages of {octets} octets wait to be added to this account; repeat it later"
            )

    def _known(self, record: RecordedAnswer, decide: Callable[[], Intent]) -> Intent | None:
        """Return the ended intent of an earlier call, or the same asked for anew; None when there was no such call."""
        known = self._core.store.recorded_answer(record.scope, record.request_id)
        if known is None:
            return None
        refuse_other(known.fingerprint, record.fingerprint)
        account, number = _PLACE.unpack(known.response)
        intent = self._core.store.intent(AccountNo(account), number)
        if intent is None:
            raise OutcomeUnknownError(
                "the store was restored from a backup of the time when this call was at work"
            )
        self._core.account(intent.account.id)  # its labels may have changed since
        if not intent.ended:
            raise RequestInProgressError("an earlier call with this request_id is still at work; repeat it")
        return intent if intent.sent or not intent.outcome.error_reason else self._again(intent, decide())

    def _again(self, intent: Intent, anew: Intent) -> Intent:
        """Ask anew, as it is decided now, for what was refused before anything was sent."""
        self._refuse_beyond(anew)
        again = replace(
            anew,
            no=intent.no,
            version=intent.version + 1,
            request_id=intent.request_id,
            create_time=self._core.now_ms(),
        )
        try:
            self._core.store.apply(Batch(intent.account, intents=(again,)))
        except ConflictError:
            raise RequestInProgressError("another repeat of this call was faster; repeat it") from None
        return again
