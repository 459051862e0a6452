"""The memory engine as the model of the LMDB engine: the same calls, in any order, give the same answers."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.model.account import Account, AccountState
from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    Backfilled,
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesEvicted,
    EnvelopesRemoved,
    EnvelopeUpdated,
    FlagsChanged,
    FolderChanged,
    FolderChangeKind,
    FolderRemoved,
    FolderReset,
    FolderSynced,
    Reported,
    SyncRunChanged,
)
from mailsync_grpc.model.evidence import MARK_BYTES, MoveEvidence
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.report import Report, ReportKind
from mailsync_grpc.model.run import RunState, SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import KEPT_LOG, Batch, Counter, Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import RecordedAnswer
from tests.support.replay import Replayer, listed
from tests.support.store import EVERYTHING, ManualClock, account_of, all_rows, folder_of, message_of, run_of

T = TypeVar("T")
# Few of each, so that calls meet: around the border of a block and far away.
uids = st.sampled_from([1, 2, 3, 126, 127, 128, 129, 4_294_967_295])
uid_sets = st.lists(uids, min_size=1, max_size=4, unique=True).map(tuple)
flag_sets = st.sampled_from([(), ("\\Seen",), ("\\Seen", "work"), ("work",)])
texts = st.sampled_from(["", "again"])
accounts, folders, runs = Bundle("accounts"), Bundle("folders"), Bundle("runs")


class Engines(RuleBasedStateMachine):
    """Both engines side by side. Records in bundles were committed, but may be stale by now; then both refuse them alike."""

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.model: Store = MemoryStore(self.clock)
        self.lmdb: Store = open_store(self.directory / "data", exclusive=True, clock=self.clock)
        self.seen: set[Folder] = set()

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            for store in (self.model, self.lmdb):
                self.check_replay(store)
            self.lmdb.close()
            shutil.rmtree(self.directory)

    def check_replay(self, store: Store) -> None:
        """A log that is whole folds to the store."""
        if store.stats().log_floor == 0:
            assert Replayer(store).catch_up() == listed(store)

    def both(self, call: Callable[[Store], T]) -> T | None:
        """Make the same call on both engines; the answers, or the refusals, must be the same."""
        answers: list[Any] = []
        for store in (self.model, self.lmdb):
            try:
                answers.append(call(store))
            except MailsyncError as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return None if isinstance(answers[0], type) else answers[0]

    def commit(self, account: Account, *changes: Change, **batch: Any) -> bool:
        return self.both(lambda store: store.apply(Batch(account.key, changes, **batch))) is not None

    @rule(target=accounts, account_id=st.sampled_from(["a", "b", "c-1"]))
    def create_account(self, account_id: str) -> Any:
        account = self.both(lambda store: account_of(store, account_id))
        assert account is not None
        return account if self.commit(account, AccountChanged(account)) else multiple()

    @rule(target=accounts, account=accounts, state=st.sampled_from(AccountState))
    def change_account(self, account: Account, state: AccountState) -> Any:
        changed = account.in_state(state, 5, "IMAP_UNREACHABLE", "why")
        return changed if self.commit(account, AccountChanged(changed)) else multiple()

    @rule(account=consumes(accounts), answered=st.booleans())
    def remove_account(self, account: Account, answered: bool) -> None:
        answer = RecordedAnswer("scope", account.id, b"f", b"removed") if answered else None
        self.commit(account, AccountRemoved(account.key), answer=answer)

    @rule(target=folders, account=accounts, name=st.sampled_from(["INBOX", "Sent"]))
    def create_folder(self, account: Account, name: str) -> Any:
        folder = self.both(lambda store: folder_of(store, account.key, name))
        assert folder is not None
        return folder if self.commit(account, FolderChanged(folder, FolderChangeKind.CREATED)) else multiple()

    @rule(target=folders, folder=folders)
    def rename_folder(self, folder: Folder) -> Any:
        renamed = replace(folder, version=folder.version + 1, display_name=folder.display_name + "x")
        change = FolderChanged(renamed, FolderChangeKind.RENAMED, folder.display_name)
        return renamed if self.commit_of(folder, change) else multiple()

    @rule(target=folders, folder=folders, rebound=uid_sets)
    def reset_folder(self, folder: Folder, rebound: tuple[int, ...]) -> Any:
        mirror = self.both(lambda store: MirrorNo(store.allocate(Counter.MIRROR)))
        assert mirror is not None
        reset = replace(
            folder, version=folder.version + 1, mirror=mirror, uid_validity=folder.uid_validity + 1
        )
        messages = tuple(map(message_of, rebound))
        changes = FolderReset(reset, folder.key), Backfilled(reset.key, messages)
        return reset if self.commit_of(folder, *changes) else multiple()

    @rule(folder=folders)
    def remove_folder(self, folder: Folder) -> None:
        self.commit_of(folder, FolderRemoved(folder))

    def commit_of(self, folder: Folder, *changes: Change, **batch: Any) -> bool:
        self.seen.add(folder)
        return self.both(lambda store: store.apply(Batch(folder.account, changes, **batch))) is not None

    @rule(folder=folders, chosen=uid_sets, flags=flag_sets, text=texts, cursor=uids)
    def backfill(
        self, folder: Folder, chosen: tuple[int, ...], flags: tuple[str, ...], text: str, cursor: int
    ) -> None:
        messages = tuple(message_of(uid, *flags, text=text) for uid in chosen)
        progress = ((folder.key, FolderProgress(cursor=cursor, pending=UidSet.of(chosen))),)
        self.commit_of(folder, Backfilled(folder.key, messages), progress=progress)

    @rule(folder=folders, chosen=st.lists(uids, min_size=1, max_size=4), flags=flag_sets, text=texts)
    def add(self, folder: Folder, chosen: list[int], flags: tuple[str, ...], text: str) -> None:
        changes = (EnvelopeAdded(folder.key, message_of(uid, *flags, text=text)) for uid in chosen)
        self.commit_of(folder, *changes)

    @rule(folder=folders, chosen=uid_sets, flags=flag_sets)
    def flag(self, folder: Folder, chosen: tuple[int, ...], flags: tuple[str, ...]) -> None:
        changes = (
            FlagsChanged(folder.key, uid, message_of(uid).envelope_id, NO_FLAGS, Flags.of(flags))
            for uid in chosen
        )
        self.commit_of(folder, *changes)

    @rule(source=folders, to=folders, uid=uids, to_uid=uids, flags=flag_sets, text=texts)
    def move(
        self, source: Folder, to: Folder, uid: int, to_uid: int, flags: tuple[str, ...], text: str
    ) -> None:
        if source.account != to.account or source.no == to.no:
            return  # no engine is asked to do that
        self.seen.add(to)
        message = message_of(uid, *flags, text=text)._replace(uid=to_uid)
        self.commit_of(
            source, EnvelopeMoved(source.key, uid, to.key, message, MoveEvidence.MESSAGE_ID_SIZE_DATE)
        )

    @rule(folder=folders, uid=uids, flags=flag_sets, told=texts, text=texts)
    def repair(self, folder: Folder, uid: int, flags: tuple[str, ...], told: str, text: str) -> None:
        envelope_id = message_of(uid, text=told).envelope_id
        repaired = message_of(uid, *flags, text=text, envelope_id=envelope_id)
        self.commit_of(folder, EnvelopeUpdated(folder.key, repaired))

    @rule(folder=folders, chosen=uid_sets)
    def evict(self, folder: Folder, chosen: tuple[int, ...]) -> None:
        gone = UidSet.of(chosen)
        self.commit_of(folder, EnvelopesEvicted(folder.key, gone), outside=((folder.key, gone),))

    @rule(folder=folders, uid=uids, kind=st.sampled_from(ReportKind))
    def report(self, folder: Folder, uid: int, kind: ReportKind) -> None:
        self.commit_of(folder, Reported(folder.key, uid, message_of(uid).envelope_id, Report(kind)))

    @rule(folder=folders)
    def finish_first_sync(self, folder: Folder) -> None:
        self.commit_of(folder, FolderSynced(folder.key, 1))

    @rule(folder=folders, first=uids, last=uids, again=uid_sets)
    def remove(self, folder: Folder, first: int, last: int, again: tuple[int, ...]) -> None:
        removed = EnvelopesRemoved(folder.key, UidSet.span(min(first, last), max(first, last)))
        self.commit_of(folder, removed, *(EnvelopeAdded(folder.key, message_of(uid)) for uid in again))

    @rule(folder=folders, as_of=st.integers(1, 9))
    def touch(self, folder: Folder, as_of: int) -> None:
        self.both(lambda store: store.touch([(folder.account.no, folder.no, as_of)]))

    @rule(target=runs, account=accounts)
    def start_run(self, account: Account) -> Any:
        run = self.both(lambda store: run_of(store, account.key))
        assert run is not None
        return run if self.commit(account, SyncRunChanged(run)) else multiple()

    @rule(target=runs, run=runs, told=st.booleans(), state=st.sampled_from(RunState))
    def advance_run(self, run: SyncRun, told: bool, state: RunState) -> Any:
        # Without an event only counts may advance.
        after = replace(run, version=run.version + 1, messages_done=run.messages_done + 1)
        after = replace(after, state=state) if told else after
        batch = (
            Batch(run.account, (SyncRunChanged(after),))
            if told
            else Batch(run.account, run_progress=(after,))
        )
        return after if self.both(lambda store: store.apply(batch)) else multiple()

    @rule(account=accounts, request_id=st.sampled_from(["1", "2"]))
    def answer(self, account: Account, request_id: str) -> None:
        self.commit(account, answer=RecordedAnswer("scope", request_id, b"print", account.id.encode()))

    @rule(hours=st.sampled_from([0.5, 2, 30]))
    def pass_time(self, hours: float) -> None:
        self.clock.now += hours * 3_600

    @rule(limit=st.sampled_from([1, 7, 1_000]))
    def purge(self, limit: int) -> None:
        for store in (self.model, self.lmdb):
            while store.purge(limit):
                pass
        self.both(lambda store: store.stats().envelopes)

    @rule(
        age=st.sampled_from([0, KEPT_LOG * 3]),
        size=st.sampled_from([0, 900, EVERYTHING]),
        limit=st.integers(1, 9),
    )
    def trim(self, age: float, size: int, limit: int) -> None:
        self.both(lambda store: store.trim_log(age, size, limit))

    @invariant()
    def both_tell_the_same(self) -> None:
        if not hasattr(self, "directory"):
            return
        self.both(lambda store: store.stats()._replace(bytes_used=0, envelopes=0))
        self.both(lambda store: store.log(store.stats().log_floor, 1_000, EVERYTHING))
        self.both(
            lambda store: [store.log_check(Revision(number)) for number in range(store.stats().log_floor, 3)]
        )
        self.both(lambda store: [store.recorded_answer("scope", key) for key in ("1", "2", "a", "b", "c-1")])
        self.both(listed)
        for folder in self.seen:
            self.both(partial(self.indexes, folder))

    def indexes(self, folder: Folder, store: Store) -> list[object]:
        """What is kept beside the rows: places, flag tables, flag blocks, and what is known."""
        account, mirror = folder.account.no, folder.mirror
        ids = [message_of(uid, text=text).envelope_id for uid in (1, 2, 128) for text in ("", "again")]
        return [
            store.twins(account, [envelope_id[:MARK_BYTES] for envelope_id in ids]),
            store.outside(account, mirror),
            store.summaries(account, mirror, 1, 3),
            all_rows(store, folder),
            store.folder_by_no(account, folder.no),
            [store.locate(account, envelope_id) for envelope_id in ids],
            store.flag_table(account, mirror),
            store.flag_blocks(account, mirror, 0, 10),
            store.newest_uids(account, mirror, 3),
            store.known(folder, [128, 1, 2]),
        ]


TestEngines = Engines.TestCase
TestEngines.settings = settings(stateful_step_count=30)
