"""Recorded answers in memory: found by request, forgotten by time, erased with their account."""

from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store.base import KEPT_ANSWERS, ConflictError
from mailsync_grpc.store.values import RecordedAnswer


class MemoryAnswers:
    """Answers by scope and request id. Times are seconds; not safe by itself, the store locks."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[float, AccountNo, RecordedAnswer]] = {}

    def require_none(self, answer: RecordedAnswer, now: float) -> None:
        """Raise ConflictError when the request was answered meanwhile."""
        if self.get(answer.scope, answer.request_id, now):
            raise ConflictError(f"request {answer.request_id} was answered meanwhile")

    def put(self, account: AccountNo, answer: RecordedAnswer, now: float) -> None:
        """Record an answer."""
        self._answers[answer.scope, answer.request_id] = (now, account, answer)

    def get(self, scope: str, request_id: str, now: float) -> RecordedAnswer | None:
        """Return the answer to a request, None when there is none or it is too old."""
        recorded = self._answers.get((scope, request_id))
        return recorded[2] if recorded and recorded[0] > now - KEPT_ANSWERS else None

    def erase(self, account: AccountNo) -> None:
        """Forget the answers of an account; they may quote it."""
        self._answers = {key: kept for key, kept in self._answers.items() if kept[1] != account}

    def expire(self, now: float) -> None:
        """Forget what is too old."""
        self._answers = {key: kept for key, kept in self._answers.items() if kept[0] > now - KEPT_ANSWERS}
