"""The labels of all accounts, by number: what streams of labelled accounts follow.

Read from the store when the first such stream begins, and kept up by the events of the log. An account that is deleted
stays known, so that its streams are still told that it was removed.
"""

import threading
from collections.abc import Mapping
from typing import Final

from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.values import LogRecord
from mailsync_grpc.v1 import event_pb2

Labels = tuple[tuple[str, str], ...]
_KEPT: Final = 256
"""Answers that are kept until labels change."""


class AccountLabels:
    """Which account bears which labels; `version` changes when that does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._loading = (
            threading.Lock()
        )  # held while accounts are read: what was read first must not be kept last
        self._labels: dict[AccountNo, Mapping[str, str]] = {}
        self._noted: dict[AccountNo, Mapping[str, str]] = {}  # since the accounts were last read
        self._is_loaded = False
        self._found: dict[Labels, tuple[int, frozenset[AccountNo]]] = {}
        self.version = 0

    def load(self) -> None:
        """Read the accounts that no event told of, once; blocks."""
        if not self._is_loaded:
            with self._loading:
                if not self._is_loaded:
                    self._load()

    def load_again(self) -> None:
        """Read the accounts once more, since events were missed; blocks."""
        with self._loading:
            if self._is_loaded:
                self._load()

    def _load(self) -> None:
        with self._lock:
            self._noted = {}
        read: dict[AccountNo, Mapping[str, str]] = {}
        after = ""
        while batch := self._store.accounts(after):
            read |= {account.no: account.labels for account in batch}
            after = batch[-1].id
        with self._lock:
            # An event that was noted meanwhile is no older than what was read, one from before no newer.
            self._labels = self._labels | read | self._noted
            self._is_loaded = True
            self.version += 1

    def note(self, record: LogRecord) -> None:
        """Take the labels of an ACCOUNT_CHANGED."""
        if record.kind is not EventKind.ACCOUNT_CHANGED or not record.event:
            return
        changed = event_pb2.Event.FromString(record.event).account_changed.account
        labels = dict(changed.labels)
        with self._lock:
            self._noted[record.account] = labels
            if self._labels.get(record.account) != labels:
                self._labels[record.account] = labels
                self.version += 1

    def bearing(self, wanted: Labels) -> frozenset[AccountNo]:
        """Return the accounts that bear all of `wanted`, as far as `load` and `note` know."""
        with self._lock:
            version, found = self._found.get(wanted, (-1, frozenset()))
            if version != self.version:
                if len(self._found) >= _KEPT:
                    self._found.clear()
                found = frozenset(no for no, labels in self._labels.items() if set(wanted) <= labels.items())
                self._found[wanted] = self.version, found
            return found
