"""Fork reports in the format somebody asked for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from budgetctl.analysis.flat_tables import latex_tables, markdown_tables, terminal_tables
from budgetctl.analysis.fork_table import ForkLine, ForkTable
from budgetctl.analysis.fork_words import flat_table
from budgetctl.analysis.forks import BaselineRow
from budgetctl.analysis.uncertainty import Difference

TextFormat = Literal["table", "md", "csv", "json", "latex"]
CSV_COLUMNS = (
    "kind",
    "base",
    "task",
    "method",
    "seed",
    "budget",
    "currency",
    "trigger",
    "same_as",
    "fired",
    "step",
    "examples",
    "distinct",
    "epoch",
    "metric",
    "value",
    "low",
    "high",
    "remaining",
    "n_sft",
    "n_pft",
    "status",
    "score",
    "score_low",
    "score_high",
    "n_items",
    "same_split_score",
    "gap",
    "gap_low",
    "gap_high",
    "key",
    "reason",
)


def render_forks(
    tables: Sequence[ForkTable], format_: TextFormat, *, width: int = 100, color: bool = False
) -> str:
    """The tables in one of the text formats, ending with a newline.

    Args:
        tables: what to show.
        format_: `table` is for people; the others for files and programs.
        width: columns of the terminal (`table` only).
        color: whether the terminal understands bold (`table` only).
    """
    if format_ == "csv":
        return _csv_text(tables)
    if format_ == "json":
        documents = [table_document(table) for table in tables]
        return json.dumps(documents, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    flat = [flat_table(table) for table in tables]
    if format_ == "table":
        return terminal_tables(flat, width=width, color=color)
    return markdown_tables(flat) if format_ == "md" else latex_tables(flat)


def table_document(table: ForkTable) -> dict[str, Any]:
    """A table as JSON-ready data."""
    return {
        "base": table.base,
        "task": table.task,
        "method": table.method,
        "budget": table.budget,
        "currency": table.currency,
        "forks": [_fork_record(line) for line in table.lines],
        "same_split": [_plain(line.same_split) for line in table.lines if line.same_split is not None],
        "baselines": [_plain(one) for one in table.baselines],
        "predictions": [
            {
                "metric": one.metric,
                "spearman": one.agreement.value,
                "low": one.agreement.low,
                "high": one.agreement.high,
                "chance": one.agreement.chance,
                "forks": one.agreement.n,
            }
            for one in table.predictions
        ],
        "curves": [
            {"seed": curve.seed, "points": [asdict(point) for point in curve.points]}
            for curve in table.trunks
        ],
    }


def _csv_text(tables: Sequence[ForkTable]) -> str:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for table in tables:
        baselines = [line.same_split for line in table.lines if line.same_split and not line.fork.same_as]
        records = [_fork_record(line) for line in table.lines]
        records += [_plain(one) for one in [*baselines, *table.baselines]]
        for record in records:
            writer.writerow({**record, "currency": table.currency})
    return sink.getvalue()


def _fork_record(line: ForkLine) -> dict[str, Any]:
    fork = line.fork
    names = [name for name in CSV_COLUMNS if hasattr(fork, name)]
    record = {"kind": "fork", **{name: getattr(fork, name) for name in names}}
    return record | {
        "status": fork.status.value,
        "n_sft": fork.distinct if fork.fired else None,
        "same_split_score": line.same_split.score if line.same_split else None,
        **_gap_record(line.gap),
    }


def _gap_record(gap: Difference | None) -> dict[str, float | None]:
    if gap is None:
        return {"gap": None, "gap_low": None, "gap_high": None}
    return {"gap": gap.mean, "gap_low": gap.low, "gap_high": gap.high}


def _plain(one: BaselineRow) -> dict[str, Any]:
    record = {name: getattr(one, name) for name in CSV_COLUMNS if hasattr(one, name)}
    return record | {"status": one.status.value}
