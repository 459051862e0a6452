"""Connections kept open between reads on demand, of content and of metadata: a few per account.

A login costs several round trips, a read one, so a connection is used again by the next read of its account, best by
one of the same folder. A connection that idled may have been dropped by the server, and its view of the folder may be
older than a message that the sync has stored meanwhile (RFC 3501 section 5.2 lets a server tell of new mail late); so
what fails on a used connection is tried once more, on a new one or after a new EXAMINE.

Connections belong to one version of an account's record: after a change of host or password none made before is used.
Everything blocking runs in threads of the pool's own; callers wait for their turn without one, so a slow server delays
only its own account.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

from mailsync_grpc.errors import (
    ConnectionsSpentError,
    EnvelopeNotFoundError,
    ImapError,
    ImapProtocolError,
    ImapUnreachableError,
    ServerDrainingError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.budget import Use
from mailsync_grpc.imap.reading import Reading
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import AccountNo

T = TypeVar("T")
Act = Callable[[Reading], T]
"""Reads from a connection whose folder is open. Raises EnvelopeNotFoundError when the message is not there."""


class Wish(NamedTuple):
    """Which connection a read would like: one that read the message `uid` last; with `fresh` one that looks anew.

    An old view of a folder may show a message that is gone (RFC 3501 section 7.4.1: servers tell of it late).
    """

    uid: int = 0
    fresh: bool = False


_ANY = Wish()


class _Session:
    """One connection, and the folder that is open on it."""

    def __init__(self, account: Account, connection: Reading) -> None:
        self.belongs = (account.no, account.version)
        self.host, self.username = account.host, account.username
        self.connection = connection
        self.raw_name: bytes | None = None
        self.last_uid = 0
        self.idle_since = 0.0
        self._uid_validity: int | None = None

    def read(self, folder: Folder, act: Act[T], wish: "Wish") -> T:
        """Return what `act` reads in `folder`; what an old view does not show is looked for in a new one."""
        self.last_uid = wish.uid
        self.connection.lease.check(Use.CONTENT)
        viewed = self.raw_name == folder.raw_name and not wish.fresh
        if not viewed:
            self._examine(folder)
        self._check(folder)
        try:
            return act(self.connection)
        except EnvelopeNotFoundError:
            if not viewed:
                raise
        self._examine(folder)
        self._check(folder)
        return act(self.connection)

    def _examine(self, folder: Folder) -> None:
        self.raw_name = None
        selected = self.connection.examine(folder.raw_name)
        self.raw_name, self._uid_validity = folder.raw_name, selected.uid_validity

    def _check(self, folder: Folder) -> None:
        if self._uid_validity != folder.uid_validity:
            self.raw_name = None  # the next read looks afresh
            raise UidValidityChangedError(f"{folder.name} was renumbered by its server; list it again")


class _Turns:
    """The reads of one account: at most `limit` at a time, and fewer where its host takes fewer connections."""

    def __init__(self, limit: int) -> None:
        self._limit = asyncio.Semaphore(limit)
        self._reading = 0
        self._ended = asyncio.Event()

    async def take(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read` returns; where it finds no place for a connection, once another read has left its own."""
        async with self._limit:
            while True:
                self._reading += 1
                try:
                    return await read()
                except ConnectionsSpentError:
                    if self._reading == 1:
                        raise
                finally:
                    self._reading -= 1
                    self._ended.set()
                    self._ended = asyncio.Event()
                await self._ended.wait()


class Sessions:
    """The connections of one event loop. `connect` opens one, blocking; times are seconds."""

    def __init__(
        self,
        connect: Callable[[Account], Reading],
        *,
        per_account: int = 3,
        threads: int = 32,
        idle: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._per_account = per_account
        self._idle = idle
        self._clock = clock
        self._threads = ThreadPoolExecutor(threads, "content")
        self._turns: WeakValueDictionary[AccountNo, _Turns] = WeakValueDictionary()
        self._sweep: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()
        self._idling: list[_Session] = []
        self._busy: set[_Session] = set()
        self._closed = False

    async def read(self, account: Account, folder: Folder, act: Act[T], wish: Wish = _ANY) -> T:
        """Return what `act` reads on a connection that has `folder` open.

        Raises what `act` does, UidValidityChangedError when the folder's numbering is not `folder.uid_validity`,
        ImapError, CredentialsNeededError, BudgetSpentError. To be awaited to its end: the thread cannot be cancelled.
        """
        loop = asyncio.get_running_loop()
        turns = self._turns.setdefault(account.no, _Turns(self._per_account))
        try:
            return await turns.take(
                lambda: loop.run_in_executor(self._threads, self._read, account, folder, act, wish)
            )
        finally:
            if self._sweep is None and not self._closed:
                self._sweep = loop.call_later(self._idle, self._close_idle)

    async def close(self) -> None:
        """Close the connections, whereupon reads under way fail, and end the threads."""
        with self._lock:
            self._closed = True
            sessions = [*self._idling, *self._busy]
            self._idling.clear()
        if self._sweep is not None:
            self._sweep.cancel()
        for session in sessions:
            session.connection.close()
        await asyncio.to_thread(self._threads.shutdown, wait=True)

    def _read(self, account: Account, folder: Folder, act: Act[T], wish: Wish) -> T:
        session = self._take(account, folder, wish.uid)
        if session is not None:
            with suppress(
                ImapUnreachableError, ImapProtocolError
            ):  # the server has hung up on an idle connection
                return self._use(session, folder, act, wish)
        self._check_open()
        return self._use(_Session(account, self._connected(account)), folder, act, wish)

    def _connected(self, account: Account) -> Reading:
        try:
            return self._connect(account)
        except ConnectionsSpentError:
            if not self._make_room(account):
                raise
        return self._connect(account)

    def _make_room(self, account: Account) -> bool:
        """Close the connection to the account's host that idles longest, one of its mailbox before others."""
        with self._lock:
            idle = [session for session in self._idling if session.host == account.host]
            idle.sort(key=lambda session: (session.username != account.username, session.idle_since))
            for session in idle[:1]:
                self._idling.remove(session)
        for session in idle[:1]:
            _log_out(session)
        return bool(idle)

    def _use(self, session: _Session, folder: Folder, act: Act[T], wish: Wish) -> T:
        with self._lock:
            self._busy.add(session)
        try:
            self._check_open()
            return session.read(folder, act, wish)
        finally:
            self._give_back(session)

    def _give_back(self, session: _Session) -> None:
        session.idle_since = self._clock()
        with self._lock:
            self._busy.discard(session)
            if self._closed:
                session.connection.close()
            elif not session.connection.closed:
                self._idling.append(session)

    def _check_open(self) -> None:
        if self._closed:
            raise ServerDrainingError("the server is stopping; connect again shortly")

    def _take(self, account: Account, folder: Folder, uid: int) -> _Session | None:
        """Take an idle connection of this account as it is now, one that has the folder open before others.

        Of those one that has last read this message, which its server then need not look up again.
        """
        with self._lock:
            fit = [session for session in self._idling if session.belongs == (account.no, account.version)]
            fit.sort(
                key=lambda session: (session.raw_name == folder.raw_name, uid and session.last_uid == uid)
            )
            if not fit:
                return None
            self._idling.remove(fit[-1])
            return fit[-1]

    def _close_idle(self) -> None:
        with self._lock:
            old = [session for session in self._idling if session.idle_since + self._idle <= self._clock()]
            self._idling = [session for session in self._idling if session not in old]
            left = bool(self._idling)
        loop = asyncio.get_running_loop()
        for session in old:
            loop.run_in_executor(self._threads, _log_out, session)
        self._sweep = loop.call_later(self._idle, self._close_idle) if left else None


def _log_out(session: _Session) -> None:
    with suppress(ImapError):
        session.connection.logout()
