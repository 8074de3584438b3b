"""Progress as plain lines, also through another reporter."""

from __future__ import annotations

import io

from budgetctl.console import LineReporter, LinesThrough


def test_work_beside_other_work_speaks_through_the_others_reporter() -> None:
    stream = io.StringIO()
    beside = LinesThrough(LineReporter(stream), "0a1b ")
    beside.say("begins")
    with beside.bar("gen", 3) as bar:
        bar._last -= 3600  # type: ignore[attr-defined]  (a line is due)
        bar.update(2, tokens_per_s=5.0)
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == ["0a1b begins", "0a1b gen: 2/3  tokens_per_s 5"]
