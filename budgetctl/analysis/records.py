"""Sweep tables as data: flat records, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from budgetctl.analysis.table import SweepTable
from budgetctl.analysis.uncertainty import Estimate

CSV_COLUMNS = (
    "base",
    "task",
    "method",
    "budget",
    "sft_ratio",
    "n_sft",
    "n_pft",
    "cost",
    "status",
    "score",
    "low",
    "high",
    "seeds",
    "planned_seeds",
    "n",
    "best",
    "tied",
    "difference_to_best",
    "keys",
    "reason",
)


def table_records(table: SweepTable) -> list[dict[str, Any]]:
    """One flat record per cell of the table, for CSV, JSON and data frames; None where unknown."""
    records = []
    for row in table.rows:
        for cell in row.cells:
            found = cell.estimate
            records.append(
                {
                    "base": table.base,
                    "task": table.task,
                    "method": table.method,
                    "budget": _tidy(cell.budget) if cell.budget is not None else None,
                    "sft_ratio": cell.share,
                    "n_sft": cell.n_sft,
                    "n_pft": cell.n_pft,
                    "cost": cell.cost,
                    "status": cell.status.value if cell.planned else "not planned",
                    "score": found.mean if found else None,
                    "low": found.low if found else None,
                    "high": found.high if found else None,
                    "seeds": found.n_seeds if found else 0,
                    "planned_seeds": cell.planned,
                    "n": found.n_items if found else None,
                    "best": cell.best,
                    "tied": cell.tied,
                    "difference_to_best": cell.to_best.mean if cell.to_best else None,
                    "keys": list(cell.keys),
                    "reason": cell.reason,
                }
            )
            records[-1][table.axis] = _tidy(row.value)
    return records


def table_document(table: SweepTable) -> dict[str, Any]:
    """A table as JSON-ready data."""
    return {
        "base": table.base,
        "task": table.task,
        "method": table.method,
        "rows": table.axis,
        "shares": list(table.shares),
        "confidence": table.confidence,
        "baseline": _estimate_document(table.baseline),
        "seed_noise": {"sd": table.noise.sd, "df": table.noise.df},
        "cells": table_records(table),
    }


def _estimate_document(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"score": found.mean, "low": found.low, "high": found.high, "n": found.n_items}


def _tidy(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def csv_text(tables: Sequence[SweepTable]) -> str:
    """All tables' cells as one CSV with the columns of `CSV_COLUMNS`."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for table in tables:
        for record in table_records(table):
            writer.writerow({**record, "keys": " ".join(record["keys"])})
    return sink.getvalue()


def json_text(tables: Sequence[SweepTable]) -> str:
    """The tables as one JSON list, ending with a newline."""
    document = [table_document(table) for table in tables]
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
