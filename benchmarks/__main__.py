"""The benchmark's command: measures every row that has a goal and prints ratios, never a verdict that fails a build."""

import os
import platform
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from benchmarks.measure import load
from benchmarks.place import place
from benchmarks.result import Row, as_json, as_text
from benchmarks.rows import (
    content,
    detection,
    first_sync,
    full_comparison,
    listing,
    polls,
    snapshot,
    unmeasured,
    watching,
)
from benchmarks.session import MESSAGES, PAIRS, QUICK_MESSAGES, QUICK_PAIRS, Session

ROWS = (
    first_sync.rows,
    first_sync.cold_rows,
    first_sync.first_page_rows,
    full_comparison.rows,
    listing.rows,
    watching.rows,
    snapshot.rows,
    detection.rows,
    content.rows,
    polls.rows,
    unmeasured.rows,
)


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer pairs and a smaller folder: two minutes.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Rows for programs.")] = False,
    messages: Annotated[int, typer.Option(help="Messages in the large folder; 0 for the usual number.")] = 0,
) -> None:
    """Measure mailsync against the raw wire and other references."""
    messages = messages or (QUICK_MESSAGES if quick else MESSAGES)
    before = load()
    with place(messages) as filled:
        session = Session(filled, QUICK_PAIRS if quick else PAIRS, quick)
        session.tell(f"{messages:,} messages, {filled.octets / messages:.0f} octets each on the wire")
        rows: list[Row] = [row for measure in ROWS for row in measure(session)]
    conditions = _conditions(session, before)
    if json:
        print(as_json(rows, conditions))
    else:
        print(" · ".join(f"{name} {value}" for name, value in conditions.items()))
        print(as_text(rows))


def _conditions(session: Session, load_before: float) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "messages": session.place.messages,
        "cores": os.cpu_count(),
        "pairs": session.pairs,
        "load_before": round(load_before, 2),
        "load_after": round(load(), 2),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
