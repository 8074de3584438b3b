"""What the page shows, and the same as data for its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from budgetctl.analysis.lineage import LineageNode
from budgetctl.analysis.recommend import Recommendation
from budgetctl.analysis.table import SweepTable, TableCell
from budgetctl.analysis.uncertainty import Estimate
from budgetctl.analysis.words import AXIS_TITLES, legend, number, share_text, status_text

_KEY_LENGTH = 16
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class PageContent:
    """Everything on the page.

    Attributes:
        title: heading and window title.
        question: one sentence.
        tables: the sweep tables.
        recommendations: advice to state in the answer; without it the answer names each table's best.
        lineage: stages reachable from the tables' keys; others are left out.
        commands: the commands that made the study and this page.
        versions: program → version.
    """

    title: str
    question: str
    tables: Sequence[SweepTable]
    recommendations: Sequence[Recommendation] = ()
    lineage: Sequence[LineageNode] = ()
    commands: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def page_data(content: PageContent) -> dict[str, Any]:
    """The page's content as JSON-ready data."""
    nodes = _reachable(content)
    place = {node.key: index for index, node in enumerate(nodes)}
    return {
        "question": content.question,
        "answer": answer_lines(content),
        "groups": [_group(table, place) for table in content.tables],
        "lineage": [
            {
                "key": node.key[:_KEY_LENGTH],
                "stage": node.stage,
                "parents": {role: place[key] for role, key in node.parents.items() if key in place},
                "metrics": {name: _tidy(value) for name, value in node.metrics.items()},
            }
            for node in nodes
        ],
        "commands": list(content.commands),
        "versions": dict(content.versions),
    }


def answer_lines(content: PageContent) -> list[str]:
    """The answer in sentences: the advice if there is any, else what was best where most was spent."""
    if content.recommendations:
        return [_advice_sentence(advice) for advice in content.recommendations]
    return [_best_sentence(table) for table in content.tables if any(row.best for row in table.rows)] or [
        "No row of the study has two finished cells yet, so nothing can be compared."
    ]


def _advice_sentence(advice: Recommendation) -> str:
    text = (
        f"{advice.base} on {advice.task}, budget {number(advice.budget)}: give {advice.sft_ratio:.0%} to SFT "
        f"({advice.split.n_sft:,} SFT rows, {advice.split.n_pft:,} pairs)"
    )
    if advice.expected is not None and advice.low is not None and advice.high is not None:
        text += f"; expected score {advice.expected:.3f} (90 %: {advice.low:.3f} to {advice.high:.3f})"
    if advice.alternatives:
        text += f"; not told apart from {', '.join(share_text(share) for share in advice.alternatives)}"
    return f"{text}. Basis: {advice.basis}."


def _best_sentence(table: SweepTable) -> str:
    row = [row for row in table.rows if row.best][-1]
    best = row.best
    if best is None or best.estimate is None:
        raise ValueError(f"the last row of {table.title} has no best cell")
    text = (
        f"{table.title}: at {AXIS_TITLES[table.axis]} {number(row.value)}, the largest with results, SFT share "
        f"{share_text(best.share)} did best with {best.estimate.mean:.3f}"
    )
    ties = [share_text(cell.share) for cell in row.cells if cell.tied]
    return text + (f"; within noise of it: {', '.join(ties)}." if ties else ".")


def _reachable(content: PageContent) -> list[LineageNode]:
    known = {node.key: node for node in content.lineage}
    queue = [key for table in content.tables for row in table.rows for cell in row.cells for key in cell.keys]
    found: dict[str, LineageNode] = {}
    while queue:
        key = queue.pop()
        if key in known and key not in found:
            found[key] = known[key]
            queue.extend(known[key].parents.values())
    return list(found.values())


def _group(table: SweepTable, place: Mapping[str, int]) -> dict[str, Any]:
    return {
        "title": table.title,
        "axis": AXIS_TITLES[table.axis],
        "shares": list(table.shares),
        "baseline": {"mean": _tidy(table.baseline.mean)} if table.baseline else None,
        "legend": legend(table).replace("* best", "bold: best"),
        "rows": [
            {"value": row.value, "cells": [_cell(cell, place) for cell in row.cells]} for row in table.rows
        ],
    }


def _cell(cell: TableCell, place: Mapping[str, int]) -> dict[str, Any]:
    found = cell.estimate or Estimate(float("nan"), None, None, 0, None)
    return {
        "share": cell.share,
        "mean": _tidy(found.mean) if cell.estimate else None,
        "low": _tidy(found.low),
        "high": _tidy(found.high),
        "half": _tidy(found.half_width),
        "best": cell.best,
        "tied": cell.tied,
        "status": status_text(cell),
        "reason": cell.reason if cell.planned else "",
        "seeds": found.n_seeds,
        "planned": cell.planned,
        "items": found.n_items,
        "n_sft": cell.n_sft,
        "n_pft": cell.n_pft,
        "keys": [place.get(key, key[:_KEY_LENGTH]) for key in cell.keys],
    }


def _tidy(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value
