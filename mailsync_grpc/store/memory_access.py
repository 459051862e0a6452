"""Access tokens in memory, and the version of what callers may see."""

import threading
from dataclasses import replace

from mailsync_grpc.model.access import AccessToken
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store.base import AccessTable, Clock, TokenEdit
from mailsync_grpc.store.memory_answers import MemoryAnswers


class MemoryAccess:
    """`AccessStore` under the store's lock, beside its recorded answers."""

    def __init__(self, lock: threading.RLock, answers: MemoryAnswers, clock: Clock) -> None:
        self._lock, self._answers, self._clock = lock, answers, clock
        self._tokens: dict[str, AccessToken] = {}
        self._version = 0
        self._closed = False

    def edit(self, edit: TokenEdit) -> None:
        """As `AccessStore.edit`."""
        with self._lock:
            if edit.answer:
                self._answers.require_none(edit.answer, self._clock())
                self._answers.put(AccountNo(0), edit.answer, self._clock())
            self._edit(edit)

    def _edit(self, edit: TokenEdit) -> None:
        for token in edit.put:
            self._tokens[token.id] = token
            self._closed = True
        for token_id in edit.drop:
            self._tokens.pop(token_id, None)
        for token_id, millis in edit.used:
            if token_id in self._tokens:
                self._tokens[token_id] = replace(self._tokens[token_id], last_used=millis)
        self._version += bool(edit.put or edit.drop)

    def table(self) -> AccessTable:
        """As `AccessStore.table`."""
        with self._lock:
            return AccessTable(tuple(token for _, token in sorted(self._tokens.items())), self._closed)

    def version(self) -> int:
        """As `AccessStore.version`."""
        with self._lock:
            return self._version

    def advance(self) -> None:
        """Tell readers that an account changed."""
        with self._lock:
            self._version += 1
