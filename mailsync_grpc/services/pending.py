"""Authorizations on their way: kept sealed, for ten minutes, each for one use.

What a caller gets in hand is a random text (the state, the authorization); what it stands for is kept in the store
under a hash of it, so neither a restart nor another process of the server loses it, the browser that carries the state
carries no secret, and a copy of the store gives no state away. Taking is forgetting: of two callers with the same text one
has it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from mailsync_grpc.services.core import Core
from mailsync_grpc.store.values import Authorization

LIFETIME: Final = 600_000
"""Milliseconds that an authorization is kept in each of its steps."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was kept under a text, until when, and the text itself, by which it can be put back."""

    text: str
    content: Mapping[str, Any]
    expire_time: int


@dataclass(frozen=True, slots=True)
class Pending:
    """The authorizations of one `step`: texts of one step mean nothing in another."""

    core: Core
    step: str

    def keep(self, content: Mapping[str, Any]) -> Taken:
        """Keep a content under a new text."""
        kept = Taken(secrets.token_urlsafe(32), content, self.core.now_ms() + LIFETIME)
        self.put_back(kept)
        return kept

    def keep_as(self, text: str, content: Mapping[str, Any]) -> None:
        """Keep a content under a text of the caller's."""
        self.put_back(Taken(text, content, self.core.now_ms() + LIFETIME))

    def put_back(self, kept: Taken) -> None:
        """Keep what was taken, under the same text and no longer than before."""
        key = self._key(kept.text)
        sealed = self.core.vault.seal_authorization(key, kept.content)
        self.core.store.keep_authorization(key, Authorization(sealed, kept.expire_time))

    def take(self, text: str) -> Taken | None:
        """Return what was kept and forget it; None for an unknown text, one that was used, and one that expired."""
        key = self._key(text)
        kept = self.core.store.take_authorization(key)
        content = self.core.vault.open_authorization(key, kept.sealed) if kept else None
        return Taken(text, content, kept.expire_time) if kept and content is not None else None

    def _key(self, text: str) -> bytes:
        return sha256(f"{self.step}\0{text}".encode("utf-8", "surrogatepass")).digest()
