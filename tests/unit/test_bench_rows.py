"""The benchmark shows every goal, measured or with the reason, and judges figures as their goals say."""

import inspect
import json
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import goals
from benchmarks.goals import GOALS, Better, Goal
from benchmarks.measure import percentile, ratio
from benchmarks.result import Row, as_json, as_text, unmeasured
from benchmarks.rows import unmeasured as unmeasured_rows

LOWER = Goal("lower", "something", 7.0, 2.0)
HIGHER = Goal("higher", "something", 5.0, 15.0, Better.HIGHER)


def test_a_ratio_is_the_median_of_neighbours_and_shows_its_spread() -> None:
    middle = ratio([2.0, 9.0, 4.0], [1.0, 1.0, 1.0])
    assert (middle.least, middle.middle, middle.greatest) == (2.0, 4.0, 9.0)


@pytest.mark.parametrize(
    ("goal", "figure", "held", "met"),
    [
        (LOWER, 2.0, True, True),
        (LOWER, 7.0, True, False),
        (LOWER, 7.1, False, False),
        (HIGHER, 15.0, True, True),
        (HIGHER, 5.0, True, False),
        (HIGHER, 4.9, False, False),
    ],
)
def test_a_figure_is_judged_by_its_goal(goal: Goal, figure: float, held: bool, met: bool) -> None:
    assert (goal.held(figure), goal.met(figure)) == (held, met)


def test_a_percentile_is_the_least_figure_that_its_share_does_not_pass() -> None:
    figures = [float(number) for number in range(100, 0, -1)]
    assert [percentile(figures, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


def test_rows_for_programs_carry_what_is_promised() -> None:
    row = Row(LOWER, ratio([3.0], [1.0]), 3.0, 1.0, "s")
    (shown,) = json.loads(as_json([row], {"load_before": 0.5}))["rows"]
    assert {"name", "ours", "reference", "ratio", "goal", "met"} <= shown.keys()
    assert (shown["ratio"], shown["goal"], shown["met"], shown["held"]) == (3.0, 2.0, False, True)


def test_a_row_that_was_not_measured_says_why() -> None:
    row = unmeasured(LOWER, "it is not built")
    assert row.as_json()["ratio"] is None
    assert row.as_json()["met"] is None
    assert "it is not built" in as_text([row])


def test_no_goal_is_left_out() -> None:
    """Each goal is named by a module of rows; those not measured are listed with a reason."""
    listed = {goal.name for goal, _ in unmeasured_rows.REASONS}
    source = "".join(inspect.getsource(sys.modules[measure.__module__]) for measure in command.ROWS)
    named = {
        goal.name
        for name, goal in vars(goals).items()
        if isinstance(goal, Goal) and f"goals.{name}" in source
    }
    assert listed <= named
    assert named == {goal.name for goal in GOALS}
