"""What a row of the benchmark says, and how it is shown: as a table to people, as JSON to programs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.goals import Goal
from benchmarks.measure import Ratio


@dataclass(frozen=True, slots=True)
class Row:
    """A goal with what was measured of it.

    `figure` is what the goal is held against: a ratio, or a figure in the goal's unit. `ours` and `reference` are
    medians in `unit`, for orientation: they do not travel between machines.
    """

    goal: Goal
    figure: Ratio | float | None = None
    ours: float | None = None
    reference: float | None = None
    unit: str = ""
    note: str = ""

    @property
    def value(self) -> float | None:
        """The figure in one number; None when it was not measured, `note` then says why."""
        return self.figure.middle if isinstance(self.figure, Ratio) else self.figure

    def as_json(self) -> dict[str, Any]:
        """The row for programs."""
        value, spread = self.value, self.figure if isinstance(self.figure, Ratio) else None
        return {
            "name": self.goal.name,
            "ours": self.ours,
            "reference": self.reference,
            "unit": self.unit,
            "against": self.goal.reference,
            "ratio": value,
            "min": spread and spread.least,
            "max": spread and spread.greatest,
            "better": self.goal.better.value,
            "foundation": self.goal.foundation,
            "held": None if value is None else self.goal.held(value),
            "goal": self.goal.goal,
            "met": None if value is None else self.goal.met(value),
            "note": self.note,
        }


def unmeasured(goal: Goal, reason: str) -> Row:
    """A row that cannot be measured, with the reason."""
    return Row(goal, note=reason)


def as_json(rows: Iterable[Row], conditions: dict[str, Any]) -> str:
    """The whole result for programs: the conditions of the run and its rows."""
    return json.dumps({**conditions, "rows": [row.as_json() for row in rows]}, indent=2, ensure_ascii=False)


def as_text(rows: Iterable[Row]) -> str:
    """The rows for people: a line of figures for each, and below it what they were taken against."""
    return "\n".join(line for row in rows for line in _lines(row))


def _lines(row: Row) -> list[str]:
    goal = row.goal
    bounds = f"goal {goal.better.value} {_number(goal.goal)} {goal.unit}".rstrip()
    if goal.foundation is not None:
        bounds += f", now {goal.better.value} {_number(goal.foundation)}"
    if row.value is None:
        return [f"{goal.name}: not measured ({bounds})", f"    {row.note}"]
    lines = [f"{goal.name}: {_figure(row)} ({bounds}) {_verdict(row)}", f"    {_detail(row)}"]
    return [*lines, f"    {row.note}"] if row.note else lines


def _figure(row: Row) -> str:
    if isinstance(row.figure, Ratio):
        spread = f"{_number(row.figure.least)} to {_number(row.figure.greatest)}"
        return f"{_number(row.figure.middle)} times ({spread})"
    return f"{_number(row.value or 0.0)} {row.goal.unit}"


def _verdict(row: Row) -> str:
    assert row.value is not None
    if row.goal.met(row.value):
        return "goal met"
    return "held" if row.goal.held(row.value) else "not yet" if row.goal.foundation is None else "NOT HELD"


def _detail(row: Row) -> str:
    if row.ours is None:
        return f"reference: {row.goal.reference}"
    if row.reference is None:
        return f"{_number(row.ours)} {row.unit}; reference: {row.goal.reference}"
    return f"{_number(row.ours)} {row.unit} against {_number(row.reference)} {row.unit}; reference: {row.goal.reference}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
