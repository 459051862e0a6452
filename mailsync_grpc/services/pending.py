"""Authorizations on their way: kept sealed, for ten minutes, each for one use.

What a caller gets in hand is a random text (the state, the authorization); what it stands for is kept in the store
under a hash of it, so neither a restart nor another process of the server loses it, the browser that carries the state
carries no secret, and a copy of the store gives no state away. A text is good for the caller that it was made for, once:
taking is forgetting.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from google.protobuf.message import Message

from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.paging import request_hash
from mailsync_grpc.services.requests import R, refuse_other, request_id_of
from mailsync_grpc.store.base import KEPT_ANSWERS
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
        # The caller's name is in it: a text that another got hold of is unknown there, and is not used up by trying.
        return sha256(f"{self.step}\0{current().name}\0{text}".encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Repeats:
    """Answers of calls that change no account, by their request ids: what `Mutations` records of all others."""

    core: Core

    @property
    def _kept(self) -> Pending:
        return Pending(self.core, "answered")

    def answer_to(self, request: Message, answer: type[R]) -> R | None:
        """Return the answer to this request before. Raises RequestIdReusedError when it was to a different one."""
        request_id = request_id_of(request)
        found = self._kept.take(_name(request, request_id)) if request_id else None
        if found is None:
            return None
        self._kept.put_back(found)
        refuse_other(found.content["fingerprint"], _fingerprint(request))
        return answer.FromString(base64.b64decode(found.content["response"]))

    def record(self, request: Message, response: R) -> R:
        """Keep the answer where the request has an id, and return it."""
        if request_id := request_id_of(request):
            encoded = base64.b64encode(response.SerializeToString()).decode()
            content = {"fingerprint": _fingerprint(request), "response": encoded}
            until = self.core.now_ms() + KEPT_ANSWERS * 1_000
            self._kept.put_back(Taken(_name(request, request_id), content, until))
        return response


def _name(request: Message, request_id: str) -> str:
    return f"{request.DESCRIPTOR.full_name}\0{request_id}"


def _fingerprint(request: Message) -> str:
    return request_hash(request, "request_id").hex()
