"""Signals wait for the end of what must not be cut short, and come then."""

import signal
from collections.abc import Iterator

import pytest

from mailsync_grpc.cli.uninterrupted import uninterrupted


@pytest.fixture(autouse=True)
def _like_a_command() -> Iterator[None]:
    # SIGINT, too: a process that runs a part of the tests ignores it.
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_end(number: signal.Signals) -> None:
    done: list[str] = []

    def make() -> None:
        with uninterrupted():
            signal.raise_signal(number)
            done.append("whole")

    with pytest.raises(KeyboardInterrupt):
        make()
    assert done == ["whole"]


def test_without_a_signal_nothing_is_raised_and_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with uninterrupted():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
