"""Windows are written and read by people in one form each."""

from datetime import UTC, datetime

import pytest

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.window_text import window_of, window_text
from mailsync_grpc.v1.account_pb2 import SlidingWindow, Window


def since(*date: int) -> Window:
    window = Window()
    window.since.FromDatetime(datetime(*date, tzinfo=UTC))  # type: ignore[misc, arg-type] # year, month and day are given
    return window


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("all", Window()),
        ("since:2026-01-31", since(2026, 1, 31)),
        ("since:2026-01-31T02:30:00+02:00", since(2026, 1, 31, 0, 30)),
        ("last:90d", Window(sliding=SlidingWindow(days=90))),
        ("last:1y6m10d", Window(sliding=SlidingWindow(years=1, months=6, days=10))),
        ("newest:5000", Window(newest=5_000)),
    ],
)
def test_a_window_is_written_in_a_word(text: str, window: Window) -> None:
    assert window_of(text) == window


@pytest.mark.parametrize(
    "text",
    ["", "90d", "last:", "last:10d1y", "last:1w", "since:", "since:2026-13-01", "newest:many", "all:1"],
)
def test_what_is_no_window_is_answered_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(CommandError, match="expected all, since:2026-01-31, last:1y6m10d or newest:5000"):
        window_of(text)


def test_a_window_is_told_in_words() -> None:
    assert window_text(Window()) == ""
    assert window_text(Window(newest=5_000)) == "newest 5,000 of each folder"
    assert window_text(window_of("last:1y2m")) == "the last 1 year 2 months"
    assert window_text(since(2026, 1, 31, 12)).startswith("since 2026-0")
