"""The lag of streams by label: how far, how old, and never more labels than are allowed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.config import Config, WatchConfig
from mailsync_grpc.metrics import StreamLag, WatchCollector, WatchReading
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.tokens import Position
from mailsync_grpc.services.watch import Stream
from mailsync_grpc.services.watch_lag import Labels, Standing, WatchLag, lags
from mailsync_grpc.store.base import KEPT_LOG
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.vault import Vault
from tests.support.store import EVERYTHING, Mailbox, ManualClock, message_of

HEAD = Revision(100)


def standing(label: str, cursor: int, opened: float = 0.0) -> Standing:
    return Standing(opened, label, Revision(cursor))


def age(revision: Revision) -> float:
    return float(HEAD - revision) * 10


def test_a_label_lags_as_its_slowest_stream_does() -> None:
    found = lags([standing("a", 90), standing("a", 100), standing("b", 99)], Labels(9), HEAD, age)
    assert found == {"a": StreamLag(2, 10, 100.0), "b": StreamLag(1, 1, 10.0)}


def test_a_stream_at_the_head_does_not_lag_and_nobody_asks_how_old_what_it_misses_is() -> None:
    def nothing(revision: Revision) -> float:
        raise AssertionError(revision)

    assert lags([standing("", 100), standing("a", 101)], Labels(9), HEAD, nothing) == {
        "": StreamLag(1, 0, 0.0),
        "a": StreamLag(1, 0, 0.0),
    }


def test_labels_that_come_when_all_places_are_taken_are_shown_as_other_for_good() -> None:
    labels = Labels(2)
    lags([standing("c", 1, 3.0), standing("b", 1, 2.0), standing("a", 1, 1.0)], labels, HEAD, age)
    assert [labels.shown(label) for label in ("a", "b", "c", "", "other")] == ["a", "b", "other", "", "other"]
    later = lags([standing("c", 90), standing("d", 95), standing("", 100)], labels, HEAD, age)
    assert later == {
        "a": StreamLag(0, 0, 0.0),
        "b": StreamLag(0, 0, 0.0),
        "other": StreamLag(2, 10, 100.0),
        "": StreamLag(1, 0, 0.0),
    }


def test_a_label_without_a_stream_shows_none_open_and_no_lag() -> None:
    reading = WatchReading(5, {"gone": StreamLag(0, 0, 0.0), "here": StreamLag(1, 3, 0.5)})
    shown = {
        (sample.name, sample.labels.get("label")): sample.value
        for metric in WatchCollector(lambda: reading).collect()
        for sample in metric.samples
    }
    assert shown == {
        ("mailsync_watch_streams_limit", None): 5,
        ("mailsync_watch_label_streams", "gone"): 0,
        ("mailsync_watch_label_streams", "here"): 1,
        ("mailsync_watch_stream_lag_revisions", "here"): 3,
        ("mailsync_watch_stream_lag_seconds", "here"): 0.5,
    }


class Open(Stream):
    """An open stream as far as its lag is concerned: it has a place and nothing else."""

    def __init__(self, label: str, cursor: int) -> None:
        self.label, self.cursor, self.start_time = label, Position(Revision(cursor), 0), 0.0


@pytest.fixture
def core(tmp_path: Path, clock: ManualClock) -> Iterator[Core]:
    config = Config(data_dir=tmp_path, watch=WatchConfig(max_labels=1))
    made = Core(MemoryStore(clock), Vault(bytes(32)), config, clock)
    yield made
    made.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_seconds_are_the_age_of_the_first_event_that_is_not_covered(core: Core, clock: ManualClock) -> None:
    box = Mailbox.make(core.store)
    clock.now += 60
    box.add(message_of(1))
    clock.now += 5
    read = WatchLag(core, [Open("a", 2), Open("b", 1), Open("", 3)]).read()
    assert read.max_streams == 10_000
    assert read.lags == {"a": StreamLag(1, 1, 5.0), "other": StreamLag(1, 2, 65.0), "": StreamLag(1, 0, 0.0)}


def test_a_stream_below_the_floor_lags_by_the_age_of_the_oldest_kept_event_at_least(
    core: Core, clock: ManualClock
) -> None:
    box = Mailbox.make(core.store)
    clock.now += KEPT_LOG
    box.add(message_of(1))
    clock.now += 30
    assert core.store.trim_log(KEPT_LOG, EVERYTHING, 100).by_age == 2
    assert WatchLag(core, [Open("a", 0)]).read().lags == {"a": StreamLag(1, 3, 30.0)}
    clock.now += KEPT_LOG
    core.store.trim_log(KEPT_LOG, EVERYTHING, 100)
    assert WatchLag(core, [Open("a", 0)]).read().lags == {"a": StreamLag(1, 3, 0.0)}
