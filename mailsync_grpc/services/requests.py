"""Changes through the API: decided from what is stored, committed once, safe to repeat.

A mutating call may carry a `request_id` (AIP-155). Its answer is recorded in the commit that has the effect, so a
repeat by the same caller within 24 h returns that answer and changes nothing, whether the first answer was lost on the
way or the server died after the commit. Decisions are pure functions of what was read; when another writer was faster
the store refuses the commit, and the decision is made anew from what is there now.
"""

import asyncio
import hmac
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import AnyStr, Generic, TypeVar
from weakref import WeakValueDictionary

from google.protobuf.message import Message

from mailsync_grpc.errors import EtagMismatchError, InvalidFieldError, RequestIdReusedError
from mailsync_grpc.services.audit import resources
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.paging import request_hash
from mailsync_grpc.store.base import Batch, ConflictError, TokenEdit
from mailsync_grpc.store.values import RecordedAnswer

MAX_ATTEMPTS = 8

R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Decision(Generic[R]):
    """What a call changes, and its answer. `batch` is None when nothing is to be changed.

    `recorded` is what a repeat is answered, where that is not the same.
    """

    batch: Batch | TokenEdit | None
    response: R
    recorded: R | None = None


class Mutations:
    """Runs mutating calls; one of them at a time for each request_id."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._key = core.vault.subkey("request-fingerprint")
        self._running: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def once(self, request: Message, answer: type[R], work: Callable[[], Awaitable[Decision[R]]]) -> R:
        """Return the answer recorded for this request, else do `work` and commit what it decides.

        `work` is repeated when another writer was faster. Raises InvalidFieldError for a malformed request_id,
        RequestIdReusedError when it belongs to a different request, AccountNotFoundError when the recorded answer tells
        of an account that the caller may not know of any more.
        """
        request_id = request_id_of(request)
        if not request_id:
            return await self._commit(work, "", None)
        scope = f"{current().name} {request.DESCRIPTOR.full_name}"
        # A repeat that overtakes its first call waits for it and finds its answer.
        lock = self._running.setdefault((scope, request_id), asyncio.Lock())
        async with lock:
            fingerprint = self.fingerprint(request)
            known = await self._core.run(self._core.store.recorded_answer, scope, request_id)
            if known is not None:
                refuse_other(known.fingerprint, fingerprint)
                response = answer.FromString(known.response)
                await self._core.run(self._require_sight, request, response)
                return response
            return await self._commit(work, request_id, RecordedAnswer(scope, request_id, fingerprint, b""))

    def _require_sight(self, *messages: Message) -> None:
        """Raise AccountNotFoundError for an account that was taken from the caller since; the removed are no secret."""
        parts = [name.split("/") for name in resources(*messages)]
        for account_id in {part[1] for part in parts if part[0] == "accounts"}:
            if self._core.store.account(account_id) is not None:
                self._core.account(account_id)

    def fingerprint(self, request: Message) -> bytes:
        """Return what tells a request from any other, its request_id left out."""
        # Keyed, since requests hold passwords: a copy of the store gives no means to try guesses.
        return hmac.digest(self._key, request_hash(request, "request_id"), "sha256")

    async def _commit(
        self, work: Callable[[], Awaitable[Decision[R]]], request_id: str, record: RecordedAnswer | None
    ) -> R:
        for _ in range(MAX_ATTEMPTS):
            decision = await work()
            if decision.batch is None:
                return decision.response
            if record is not None:
                answer = decision.recorded if decision.recorded is not None else decision.response
                record = record._replace(response=answer.SerializeToString())
            try:
                # Until the commit is made or refused nobody else may look for this request's answer.
                await self._core.run_to_end(self._apply, decision.batch, request_id, record)
            except ConflictError:
                continue
            return decision.response
        raise EtagMismatchError("others keep changing this resource; read it again and repeat the edit")

    def _apply(self, batch: Batch | TokenEdit, request_id: str, record: RecordedAnswer | None) -> None:
        if isinstance(batch, TokenEdit):
            self._core.store.access.edit(replace(batch, answer=record))
        else:
            self._core.store.apply(replace(batch, request_id=request_id, answer=record))


def refuse_other(known: AnyStr, given: AnyStr) -> None:
    """Raise RequestIdReusedError unless the fingerprints of two requests with one id are the same."""
    if not hmac.compare_digest(known, given):
        raise RequestIdReusedError(
            "this request_id was used within 24 h for a different request; make a new UUID"
        )


def request_id_of(request: Message) -> str:
    """Return a request's id in its usual form, empty for none. Raises InvalidFieldError."""
    text: str = getattr(request, "request_id", "")
    if not text:
        return ""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidFieldError({"request_id": "a UUID (RFC 9562), or empty"}) from None
