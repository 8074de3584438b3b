"""Forks arranged for a report: beside their baselines, by seed and over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from budgetctl.analysis.fork_means import (
    BaselineMean,
    ForkLine,
    ForkMean,
    baseline_means,
    cell_of,
    fork_means,
    noise_of,
)
from budgetctl.analysis.fork_predictions import Prediction, predictions_of
from budgetctl.analysis.forks import BaselineRow, ForkResults, ForkRow, TrunkCurve
from budgetctl.analysis.uncertainty import SeedNoise, difference


@dataclass(frozen=True, slots=True)
class ForkTable:
    """All forks of one base, task, method and budget.

    Attributes:
        lines: By seed, then as they fired, those that did not at the end.
        means: One per trigger, over seeds.
        baselines: SFT only and PFT only, by seed.
        baseline_means: The same over seeds.
        noise: How much a score varies between seeds, pooled over the table.
        predictions: One per metric of the trunks, and the examples.
        trunks: The curves of the trunks that the forks left.
    """

    base: str
    task: str
    method: str
    budget: float
    currency: str
    lines: tuple[ForkLine, ...]
    means: tuple[ForkMean, ...]
    baselines: tuple[BaselineRow, ...]
    baseline_means: tuple[BaselineMean, ...]
    noise: SeedNoise
    predictions: tuple[Prediction, ...]
    trunks: tuple[TrunkCurve, ...]

    @property
    def title(self) -> str:
        """Base, task and method in one line."""
        return " · ".join(part for part in (self.base, self.task, self.method) if part)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the trunks."""
        return tuple(dict.fromkeys(line.fork.seed for line in self.lines))

    @property
    def states(self) -> tuple[ForkRow, ...]:
        """The forks that fired, each saved state once."""
        return tuple(line.fork for line in self.lines if line.fork.fired and not line.fork.same_as)


def fork_tables(results: ForkResults) -> list[ForkTable]:
    """One table per base, task, method and budget, in order of first appearance."""
    groups: dict[tuple[str, str, str, float], list[ForkRow]] = {}
    for row in results.rows:
        groups.setdefault((row.base, row.task, row.method, row.budget), []).append(row)
    return [_table(rows, results) for rows in groups.values()]


def _table(rows: Sequence[ForkRow], results: ForkResults) -> ForkTable:
    first = rows[0]
    places = {row.place for row in rows}
    trunks = tuple(curve for curve in results.trunks if curve.place in places)
    near = [one for one in results.baselines if one.place in places and one.method in (None, first.method)]
    order = {trigger: number for number, trigger in enumerate(dict.fromkeys(row.trigger for row in rows))}
    lines = [_line(row, near) for row in rows]
    baselines = _each_once(one for one in near if one.kind != "same-split")
    noise = noise_of(lines, baselines)
    ordered = tuple(sorted(lines, key=lambda line: _when(line.fork, order)))
    return ForkTable(
        base=first.base,
        task=first.task,
        method=first.method,
        budget=first.budget,
        currency=results.currency,
        lines=ordered,
        means=fork_means(lines, noise),
        baselines=baselines,
        baseline_means=baseline_means(baselines, noise),
        noise=noise,
        predictions=predictions_of(
            [line.fork for line in ordered if line.fork.fired and not line.fork.same_as], trunks
        ),
        trunks=trunks,
    )


def _each_once(baselines: Iterable[BaselineRow]) -> tuple[BaselineRow, ...]:
    """A trunk's own end and an SFT-only cell of the same rows are the same run; one with a score is kept."""
    found: dict[tuple[object, ...], BaselineRow] = {}
    for one in baselines:
        what = (one.kind, one.method, one.seed, one.n_sft, one.n_pft)
        if what not in found or found[what].score is None:
            found[what] = one
    return tuple(found.values())


def _when(row: ForkRow, order: dict[str, int]) -> tuple[object, ...]:
    """By seed; as they fired, the saved state before those that share it; then those that did not."""
    step = row.step if row.fired and row.step is not None else 0
    return row.seed, not row.fired, step, bool(row.same_as), order[row.trigger]


def _line(row: ForkRow, baselines: Iterable[BaselineRow]) -> ForkLine:
    names = {row.trigger, row.same_as}
    found = next(
        (
            one
            for one in baselines
            if one.kind == "same-split" and one.place == row.place and one.trigger in names
        ),
        None,
    )
    if found is None or found.score is None or row.score is None:
        return ForkLine(row, found, None)
    return ForkLine(row, found, difference([cell_of(row)], [cell_of(found)], SeedNoise(0.0, 0)))
