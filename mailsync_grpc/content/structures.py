"""What mail servers say of messages' parts, kept for a moment: a caller reads one message's text, HTML and pictures in turn."""

import asyncio
from collections import OrderedDict

from mailsync_grpc.content.names import owner_of
from mailsync_grpc.content.source import Source
from mailsync_grpc.content.values import MessageKey
from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.store.cache_index import Owner

_KEPT = 64


class Structures:
    """The structures asked for last. Messages are immutable, so none of them grows old."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._asked: OrderedDict[Owner, asyncio.Task[Envelope]] = OrderedDict()

    async def of(self, message: MessageKey) -> Envelope:
        """Return the server's description of a message, asked for once by all who need it at about the same time."""
        owner = owner_of(message)
        task = self._asked.pop(owner, None)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._source.structure(message))
        self._asked[owner] = task
        if len(self._asked) > _KEPT:
            self._asked.popitem(last=False)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Return once nobody is asked any more."""
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
