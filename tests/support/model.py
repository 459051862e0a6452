"""A mirrored mailbox under any sequence of changes, looks, restarts and API calls, as a hypothesis state machine.

The mailbox itself is the model: a server in memory, or a Dovecot behind a proxy. Both stand behind a `FaultyServer`,
whose rule for every command lets the second client act after that command was answered and before the next is read,
which is where other programs act. After each quiet point replay(log) == store == server.
"""

from collections import Counter as Counts
from collections import deque
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mailsync_grpc.cli.demo.mailbox import NEWEST
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.changes import Change as StoreChange
from mailsync_grpc.model.changes import FolderChanged, FolderChangeKind, SyncRunChanged
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo, Selection
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.model.window import EVERYTHING, SyncMode, Window
from mailsync_grpc.store.base import Batch, Counter
from tests.support.agreement import assert_agreed, held_inside
from tests.support.dying import Crash, dying_after
from tests.support.hostile import FaultyServer
from tests.support.hostile_faults import Reply
from tests.support.mail import AnyMailbox
from tests.support.mirror import Mirror
from tests.support.model_client import LASTING, OF_MESSAGES, PASSING, Change, Kind, SecondClient
from tests.support.model_events import Telling

SETTINGS = SyncSettings(batch_size=4, flags_window=5)
"""So small that a handful of messages make several batches and reach beyond the newest."""

names = st.sampled_from((*LASTING, *PASSING))
# Messages change more often than folders.
kinds = st.sampled_from([*Kind, *OF_MESSAGES, *OF_MESSAGES])
passing = st.sampled_from(PASSING)
renames = st.builds(Change, st.just(Kind.RENAME_FOLDER), passing, target=passing)
changes = st.builds(Change, kinds, names, st.integers(0, 12), st.integers(1, 5), names) | renames
MIDNIGHT = NEWEST.replace(hour=0, minute=0)
windows = st.sampled_from(
    (
        EVERYTHING,
        *(Window(newest=count) for count in (1, 4, 15)),
        # Midnights, which minimal mode tells as exactly as dates do.
        *(Window(since=int((MIDNIGHT - timedelta(days)).timestamp())) for days in (-1, 0, 1)),
    )
)
moves = st.builds(Change, st.just(Kind.MOVE), names, st.integers(0, 12), st.integers(1, 5), names)
moments = st.lists(st.tuples(st.integers(0, 9), changes), min_size=1, max_size=6)


class Stage(NamedTuple):
    """A mailbox to mirror and to change, and the server through which the mirror sees it."""

    mailbox: AnyMailbox
    server: FaultyServer


class MailboxModel(RuleBasedStateMachine):
    """The rules; a subclass says where they are played."""

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self.known_whole = True

    def stage(self) -> AbstractContextManager[Stage]:
        """Open an empty mailbox, for one example."""
        raise NotImplementedError

    @initialize(history=st.integers(0, 12), meanwhile=st.just([]) | moments, nested=st.booleans())
    def begin(self, history: int, meanwhile: list[tuple[int, Change]], nested: bool) -> None:
        """Mirror a mailbox that has mail already, and changes while it is read for the first time."""
        mailbox, self.server = self._open.enter_context(self.stage())
        self.client = SecondClient(mailbox)
        self.mirror = Mirror(mailbox, SETTINGS)
        self._open.callback(self.mirror.close)
        self.told, self.position = Telling(), 0
        self.identities: dict[int, bytes] = {}
        self.meanwhile = deque(meanwhile)
        self.server.always(b"", self._between)
        for folder in ("Work", "Work/Inner") if nested else ("Work",):
            self.client.make(Change(Kind.CREATE_FOLDER, folder))
        for folder in self.client.folders:
            self.client.make(Change(Kind.APPEND, folder, many=history))
        self.mirror.settle()
        self.select("Work")

    def teardown(self) -> None:
        with self._open:
            if hasattr(self, "mirror"):
                self.come_to_rest()

    def _between(self, reply: Reply) -> Reply:
        """Runs after a command was answered: makes the change that was planned for that moment."""
        if self.meanwhile:
            left, change = self.meanwhile.popleft()
            if left:
                self.meanwhile.appendleft((left - 1, change))
            else:
                self.client.make(change)
        return reply

    # The second client

    @rule(several=st.lists(changes, min_size=1, max_size=8), then_poll=st.booleans())
    def change(self, several: list[Change], then_poll: bool) -> None:
        for change in several:
            self.client.make(change)
        if then_poll:
            self.poll_undisturbed()

    @rule(moments=moments)
    def change_between_commands(self, moments: list[tuple[int, Change]]) -> None:
        """Poll; make each change when so many commands were answered since the change before it."""
        self.meanwhile.extend(moments)
        self.mirror.poll()

    @rule(several=st.lists(renames, min_size=1, max_size=5), moments=st.just([]) | moments)
    def rename(self, several: list[Change], moments: list[tuple[int, Change]]) -> None:
        """Rename folders one after the other, so that some exchange their names, and let a poll find out."""
        self.come_to_rest()
        for change in several:
            self.client.make(change)
        self.change_between_commands(moments)

    # The API's callers

    @rule(name=names)
    def select(self, name: str) -> None:
        folder = self._stored(name)
        if folder is not None and not folder.selected:
            run = SyncRun(self.mirror.account.key, 0, 1, RunKind.INITIAL, folders=(folder.id,))
            self._choose(folder, Selection.SELECTED, SyncRunChanged(self._numbered(run)))

    @rule(name=st.sampled_from(("Sent", *PASSING)))
    def deselect(self, name: str) -> None:
        folder = self._stored(name)
        if folder is not None and folder.selected:
            mirror = MirrorNo(self.mirror.store.allocate(Counter.MIRROR))
            self._choose(replace(folder, mirror=mirror), Selection.DESELECTED)

    @rule(mode=st.sampled_from(SyncMode))
    def change_mode(self, mode: SyncMode) -> None:
        # What minimal mode stores has no evidence in its id, also once its metadata was fetched.
        self.known_whole = self.known_whole and mode is SyncMode.FULL_METADATA
        self.mirror.set_mode(mode)

    @rule(window=windows, then_poll=st.booleans())
    def change_window(self, window: Window, then_poll: bool) -> None:
        self.mirror.set_window(window)
        if then_poll:
            self.poll_undisturbed()

    @rule(full=st.booleans())
    def ask_for_a_sync(self, full: bool) -> None:
        run = self._numbered(SyncRun(self.mirror.account.key, 0, 1, RunKind.REQUESTED, full=full))
        self.mirror.store.apply(Batch(run.account, (SyncRunChanged(run),)))

    def _numbered(self, run: SyncRun) -> SyncRun:
        return replace(run, no=self.mirror.store.allocate(Counter.SYNC_RUN))

    def _choose(self, folder: Folder, selection: Selection, *more: StoreChange) -> None:
        chosen = replace(folder, version=folder.version + 1, selection=selection)
        kind = FolderChangeKind.SELECTED if chosen.selected else FolderChangeKind.DESELECTED
        self.mirror.store.apply(Batch(folder.account, (FolderChanged(chosen, kind), *more)))

    # The worker

    @rule()
    def restart(self) -> None:
        self.mirror.restart()
        # A command that was asked ahead is answered all the same, with the change that was planned for then.
        self.server.finish()

    @rule(commits=st.integers(0, 8), moments=st.just([]) | moments)
    def crash(self, commits: int, moments: list[tuple[int, Change]]) -> None:
        """The worker dies in a poll, after so many commits of it, and another one takes its place."""
        self.meanwhile.extend(moments)
        with suppress(Crash), dying_after(self.mirror.store, commits):
            self.mirror.clock.skipped += SETTINGS.full_interval
            self.mirror.poll()
        self.restart()

    @rule()
    def poll_undisturbed(self) -> None:
        """What a poll promises at once: arrivals and removals wherever they are, flags of what was newest.

        Where mod-sequences are told, and the last look was whole or by them, flags of all.
        """
        self.meanwhile.clear()
        newest = {
            folder.id: 0 if progress.modseq else self._newest(folder)
            for _, folder, progress in self._mirrored()
        }
        self.mirror.poll()
        for name, folder, _ in self._mirrored():
            if not (folder.error_reason or self.mirror.sync.backoff.failures):
                stored, held = self.mirror.flags(name), held_inside(self.mirror, name)
                assert stored.keys() == held.keys()
                low = newest.get(folder.id, 0)
                assert _from(low, stored) == _from(low, held)

    def _newest(self, folder: Folder) -> int:
        """The UID from which a poll compares flags."""
        account = self.mirror.account.no
        return min(self.mirror.store.newest_uids(account, folder.mirror, SETTINGS.flags_window), default=0)

    @rule(change=moves)
    def move_undisturbed(self, change: Change) -> None:
        """A message that no other is like keeps its id when it moves between two folders that are mirrored."""
        self.come_to_rest()
        mirrored = [name for name, _, _ in self._mirrored()]
        there = {change.folder, change.target} <= set(mirrored) and change.folder != change.target
        if not (there and self.known_whole and self.mirror.settings.window.whole):
            return
        alike = Counts(kept for name in mirrored for kept in self._evidence(name).values() if kept)
        evidence, known = self._evidence(change.folder), self.mirror.ids(change.folder)
        self.client.make(change)
        self.poll_undisturbed()
        gone = known.keys() - self.mirror.ids(change.folder).keys()
        assert gone or not known
        kept = {known[uid] for uid in gone if alike[evidence[uid]] == 1}
        assert kept <= set(self.mirror.ids(change.target).values())

    def _evidence(self, name: str) -> dict[int, tuple[object, ...]]:
        """What tells each stored message of a folder from others, by UID; empty where nothing does."""
        return {
            each.uid: (each.message_id, each.size, each.internal_date.seconds) if each.message_id else ()
            for each in self.mirror.envelopes(name)
        }

    @rule()
    def come_to_rest(self) -> None:
        """Two cycles without disturbance, and the log, the store and the server tell the same."""
        self.meanwhile.clear()
        for _ in range(2):
            self.mirror.clock.skipped += SETTINGS.full_interval
            self.mirror.poll()
        assert {name for name in PASSING if self._stored(name)} == self.client.folders.keys() - set(LASTING)
        mirrored = self._mirrored()
        assert_agreed(self.mirror, *(name for name, _, _ in mirrored))
        assert all(progress.synced for _, _, progress in mirrored)
        assert all(run.state.ended for run in self.mirror.store.runs(self.mirror.account.no))
        self.nothing_is_told_twice()
        self._keep_identities({self.client.folders[name]: folder.id for name, folder, _ in mirrored})
        for name, folder, _ in mirrored:
            assert self.told.present[folder.name] == set(self.mirror.flags(name))
            if self.mirror.settings.mode is SyncMode.FULL_METADATA:
                assert not any(envelope.HasField("partial") for envelope in self.mirror.envelopes(name))

    def _keep_identities(self, now: dict[int, bytes]) -> None:
        """A folder that is mirrored from one rest to the next is the same one, whatever it is called."""
        for number in self.identities.keys() & now.keys():
            assert self.identities[number] == now[number]
        self.identities = now

    @invariant()
    def nothing_is_told_twice(self) -> None:
        if hasattr(self, "mirror"):
            self.told.fold(self.mirror.events(self.position))
            self.position = self.mirror.head

    # Looking

    def _stored(self, name: str) -> Folder | None:
        folders = self.mirror.store.folders(self.mirror.account.no)
        return next((folder for folder, _ in folders if folder.display_name == name), None)

    def _mirrored(self) -> list[tuple[str, Folder, FolderProgress]]:
        """Folders that are selected and there."""
        return [
            (folder.display_name, folder, progress)
            for folder, progress in self.mirror.store.folders(self.mirror.account.no)
            if folder.selected and folder.display_name in self.client.folders
        ]


def _from(low: int, flags: dict[int, frozenset[str]]) -> dict[int, frozenset[str]]:
    return {uid: named for uid, named in flags.items() if uid >= low}
