"""Killing a sync worker while a second client changes the mailbox, and what must hold when it is started again."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.changes import FolderChanged, FolderChangeKind
from mailsync_grpc.model.folder import Selection
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.sync import brake
from mailsync_grpc.sync.folders import FolderTree
from tests.support.agreement import assert_agreed
from tests.support.mail import AnyMailbox
from tests.support.mirror import Mirror, SkippingClock
from tests.support.model_client import OF_MESSAGES, Change, Kind, SecondClient
from tests.support.model_events import Telling
from tests.support.replay import Replayer, listed

ROOT = Path(__file__).parents[2]
RUNS = int(os.environ.get("MAILSYNC_CRASH_RUNS", "2"))
"""Kills of each test."""
PATIENCE = 30.0
SETTINGS = SyncSettings(poll_interval=0.05, full_interval=0.4, batch_size=5, flags_window=10)
ACCOUNTS = {"one": SETTINGS, "two": replace(SETTINGS, mode=SyncMode.MINIMAL)}
"""Two mirrors of the same mailbox, one of them in minimal mode, whose batches meet in the writer."""
KILLED = -9


@dataclass(frozen=True, slots=True)
class Site:
    """A directory with a data directory, and beside it what its processes acknowledged and logged."""

    directory: Path

    @property
    def acknowledgements(self) -> Path:
        return self.directory / "acknowledged"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def open(self) -> Store:
        """The store, with everything checked that holds at any moment, however its last process ended."""
        store = open_store(self.directory / "data", exclusive=True)
        assert Replayer(store).catch_up() == listed(store)
        for line in self.acknowledged():
            revision, check = map(int, line.split())
            assert store.log_check(Revision(revision)) == check
        assert b"turn_failed" not in self.logged(), self.logged().decode()
        return store

    def acknowledged(self) -> list[bytes]:
        return self.acknowledgements.read_bytes().splitlines() if self.acknowledgements.exists() else []

    def logged(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""

    def run_until_killed(
        self,
        what: str,
        failpoint: str = "",
        acknowledged: int = 1 << 30,
        meanwhile: Callable[[], object] = int,
    ) -> None:
        """Run a child until it dies at the failpoint, or is killed after so many further acknowledgements."""
        end, last = time.monotonic() + PATIENCE, len(self.acknowledged()) + acknowledged
        arguments = (what, self.directory / "data", self.acknowledgements)
        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.crash_child", *arguments],
                cwd=ROOT,
                env={**os.environ, "MAILSYNC_FAILPOINT": failpoint},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as child,
        ):
            while child.poll() is None:
                if len(self.acknowledged()) >= last or time.monotonic() > end:
                    child.kill()
                meanwhile()
        assert child.returncode == KILLED, self.logged().decode()
        assert time.monotonic() < end, f"{failpoint} was not reached: {self.logged().decode()}"


@dataclass(slots=True)
class StandingClock(SkippingClock):
    """Moves only when it is told to, so that a mirror polls when the test says so."""

    def __call__(self) -> float:
        return self.skipped


@dataclass(slots=True)
class Crashing:
    """A mailbox, its mirrors in a store whose worker is killed again and again, and a second client."""

    site: Site
    mailbox: AnyMailbox
    rng: random.Random
    client: SecondClient = field(init=False)

    def __post_init__(self) -> None:
        """Register the accounts, whose folders are known and not yet looked at."""
        self.client = SecondClient(self.mailbox)
        self.client.make(Change(Kind.CREATE_FOLDER, "Work"))
        with closing(self.site.open()) as store:
            for mirror in self._mirrors(store):
                with closing(mirror._connect(mirror.account)) as connection:
                    FolderTree(store, mirror.account.key, os.urandom).refresh(connection)
                self._select(mirror, "Work")

    def set_modes(self, modes: Mapping[str, SyncMode]) -> None:
        """Change how much is mirrored of accounts, as an API call does."""
        with closing(self.site.open()) as store:
            for mirror in self._mirrors(store):
                if mirror.account_id in modes:
                    mirror.set_mode(modes[mirror.account_id])

    def _mirrors(self, store: Store) -> list[Mirror]:
        return [
            Mirror(self.mailbox, settings, store, StandingClock(), account_id=name)
            for name, settings in ACCOUNTS.items()
        ]

    def _select(self, mirror: Mirror, name: str) -> None:
        folder, _ = mirror.folder(name)
        if not folder.selected:
            chosen = replace(folder, version=folder.version + 1, selection=Selection.SELECTED)
            change = FolderChanged(chosen, FolderChangeKind.SELECTED)
            mirror.store.apply(Batch(folder.account, (change,)))

    def change(self) -> None:
        """One random change of the mailbox, seldom of its folders."""
        kind = self.rng.choice([*OF_MESSAGES, *OF_MESSAGES, Kind.APPEND, Kind.RECREATE_FOLDER])
        folder, target = self.rng.choices(sorted(self.client.folders), k=2)
        self.client.make(Change(kind, folder, self.rng.randrange(50), self.rng.randint(1, 6), target))

    def kill(self, failpoint: str = "", acknowledged: int = 1 << 30) -> None:
        """Run the worker until it is killed, with the mailbox changing meanwhile."""
        self.site.run_until_killed("sync", failpoint, acknowledged, self.change)

    def check(self) -> None:
        """Two cycles after the restart the log, the store and the server tell the same, and nothing was told twice.

        While the brake doubts that much of a folder is gone, as many looks as it wants.
        """
        with closing(self.site.open()) as store:
            for mirror in self._mirrors(store):
                with closing(mirror.sync):
                    for look in range(2 + brake.LOOKS):
                        if look < 2 or any(notes.suspicion for notes in mirror.sync.notes.values()):
                            mirror.clock.skipped += 600
                            mirror.poll()
                self._assert_whole(mirror)
                self._select(mirror, "Work")

    def _assert_whole(self, mirror: Mirror) -> None:
        folders = [folder for folder, _ in mirror.store.folders(mirror.account.no) if folder.selected]
        assert_agreed(mirror, *(folder.display_name for folder in folders))
        assert all(run.state.ended for run in mirror.store.runs(mirror.account.no))
        telling = Telling()
        telling.fold(mirror.events())
        for folder in folders:
            assert telling.present[folder.name] == set(mirror.flags(folder.display_name))
