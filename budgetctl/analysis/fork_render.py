"""Fork reports in the format somebody asked for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from budgetctl.analysis.flat_tables import latex_tables, markdown_tables, terminal_tables
from budgetctl.analysis.fork_means import BaselineMean, ForkLine, ForkMean
from budgetctl.analysis.fork_table import ForkTable
from budgetctl.analysis.fork_words import flat_table
from budgetctl.analysis.forks import BaselineRow
from budgetctl.analysis.uncertainty import Difference, Estimate

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
    "seeds",
    "fired_seeds",
    "scored_seeds",
    "examples_least",
    "examples_most",
    "n_sft_least",
    "n_sft_most",
    "n_pft_least",
    "n_pft_most",
    "value_least",
    "value_most",
)
"""The last ones are those of rows over seeds, whose kind says so and which stand below the seeds' own."""


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
        "over_seeds": {
            "seeds": list(table.seeds),
            "seed_noise": {"sd": table.noise.sd, "df": table.noise.df},
            "forks": [_mean_document(mean) for mean in table.means],
            "baselines": [_baseline_document(mean) for mean in table.baseline_means],
        },
        "predictions": [
            {
                "metric": one.metric,
                "spearman": one.agreement.value,
                "low": one.agreement.low,
                "high": one.agreement.high,
                "chance": one.agreement.chance,
                "forks": one.agreement.n,
                "trunks": one.agreement.groups,
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
        if len(table.seeds) > 1:
            records += [_flat(table, _mean_document(mean)) for mean in table.means]
            records += [_flat(table, _baseline_document(mean)) for mean in table.baseline_means]
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


def _mean_document(mean: ForkMean) -> dict[str, Any]:
    """A trigger over seeds; `n_sft` is the distinct demonstrations that a fork has seen."""
    spreads = {
        "examples": mean.examples,
        "n_sft": mean.distinct,
        "n_pft": mean.n_pft,
        "remaining": mean.remaining,
    }
    return {
        "kind": "fork over seeds",
        "trigger": mean.trigger,
        "same_as": mean.same_as,
        "seeds": len(mean.members),
        "fired_seeds": mean.fired,
        "decided_seeds": mean.decided,
        **{name: asdict(spread) if spread else None for name, spread in spreads.items()},
        "metric": mean.metric,
        "value": asdict(mean.value) if mean.value else None,
        "status": mean.status.value,
        **_score_record(mean.score),
        "same_split_score": mean.same_split.mean if mean.same_split else None,
        **_gap_record(mean.gap),
    }


def _baseline_document(mean: BaselineMean) -> dict[str, Any]:
    return {
        "kind": f"{mean.kind} over seeds",
        "method": mean.method,
        "n_sft": mean.n_sft,
        "n_pft": mean.n_pft,
        "seeds": len(mean.members),
        "status": mean.status.value,
        **_score_record(mean.score),
    }


def _score_record(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(("score", "score_low", "score_high", "n_items")) | {"scored_seeds": 0}
    return {
        "score": found.mean,
        "score_low": found.low,
        "score_high": found.high,
        "n_items": found.n_items,
        "scored_seeds": found.n_seeds,
    }


def _flat(table: ForkTable, document: Mapping[str, Any]) -> dict[str, Any]:
    """A row over seeds for CSV: means in the columns of the seeds' own figures, their spread in further ones."""
    record: dict[str, Any] = {name: getattr(table, name) for name in ("base", "task", "method", "budget")}
    for name, value in document.items():
        if isinstance(value, dict):
            record |= {name: value["mean"], f"{name}_least": value["least"], f"{name}_most": value["most"]}
        elif value is not None:
            record[name] = value
    return {name: value for name, value in record.items() if name in CSV_COLUMNS}


def _gap_record(gap: Difference | None) -> dict[str, float | None]:
    if gap is None:
        return {"gap": None, "gap_low": None, "gap_high": None}
    return {"gap": gap.mean, "gap_low": gap.low, "gap_high": gap.high}


def _plain(one: BaselineRow) -> dict[str, Any]:
    record = {name: getattr(one, name) for name in CSV_COLUMNS if hasattr(one, name)}
    return record | {"status": one.status.value}
