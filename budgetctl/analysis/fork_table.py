"""Forks arranged for a report: beside their baselines, and how well their metrics foretold the final order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from budgetctl.analysis.cells import CellResult, CellStatus, Verdicts
from budgetctl.analysis.forks import BaselineRow, ForkResults, ForkRow, TrunkCurve
from budgetctl.analysis.uncertainty import Difference, SeedNoise, difference
from budgetctl.forking.triggers import PERPLEXITY
from budgetctl.scoring.rank_correlation import RankCorrelation, spearman

EXAMPLES = "examples"


@dataclass(frozen=True, slots=True)
class ForkLine:
    """A fork beside the run that was trained from scratch on the same split.

    Attributes:
        gap: Final score of the fork minus that of the same split, with its interval over test items.
    """

    fork: ForkRow
    same_split: BaselineRow | None
    gap: Difference | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """How the order of a metric at the forks agrees with the order of their final scores.

    Attributes:
        metric: `perplexity`, `pass@k`, or `examples` for the mere length of the training before the fork.
        agreement: Spearman's correlation, turned so that 1 means that the better metric had the better score.
    """

    metric: str
    agreement: RankCorrelation


@dataclass(frozen=True, slots=True)
class ForkTable:
    """All forks of one base, task, method and budget.

    Attributes:
        lines: By seed, then as they fired, those that did not at the end.
        baselines: SFT only and PFT only.
        predictions: One per metric of the trunks, and the examples.
        trunks: The curves of the trunks that the forks left.
    """

    base: str
    task: str
    method: str
    budget: float
    currency: str
    lines: tuple[ForkLine, ...]
    baselines: tuple[BaselineRow, ...]
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


def metric_at(curve: TrunkCurve, metric: str, step: int) -> float | None:
    """The last value measured at or before a step; None when there is none."""
    values = [point.value for point in curve.points if point.metric == metric and point.step <= step]
    return values[-1] if values else None


def _table(rows: Sequence[ForkRow], results: ForkResults) -> ForkTable:
    first = rows[0]
    places = {row.place for row in rows}
    trunks = tuple(curve for curve in results.trunks if curve.place in places)
    near = [one for one in results.baselines if one.place in places and one.method in (None, first.method)]
    order = {trigger: number for number, trigger in enumerate(dict.fromkeys(row.trigger for row in rows))}
    ordered = sorted(rows, key=lambda row: _when(row, order))
    return ForkTable(
        base=first.base,
        task=first.task,
        method=first.method,
        budget=first.budget,
        currency=results.currency,
        lines=tuple(_line(row, near) for row in ordered),
        baselines=_each_once(one for one in near if one.kind != "same-split"),
        predictions=_predictions([row for row in ordered if row.fired and not row.same_as], trunks),
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
    left = _cell(row.score, row.n_items, row.verdicts)
    right = _cell(found.score, found.n_items, found.verdicts)
    return ForkLine(row, found, difference([left], [right], SeedNoise(0.0, 0)))


def _cell(score: float, n_items: int | None, verdicts: Verdicts | None) -> CellResult:
    """A cell that is nowhere in the grid, for the comparison of two scores."""
    return CellResult("", "", "", 1.0, 0.0, score=score, n_items=n_items, verdicts=verdicts)


def _predictions(states: Sequence[ForkRow], trunks: Sequence[TrunkCurve]) -> tuple[Prediction, ...]:
    curves = {curve.place: curve for curve in trunks}
    metrics = dict.fromkeys(point.metric for curve in trunks for point in curve.points)
    done = [row for row in states if row.status is CellStatus.DONE]
    found = []
    for metric in [*metrics, EXAMPLES]:
        pairs = [
            (value, row.score)
            for row in done
            if (value := _value(row, metric, curves.get(row.place))) is not None and row.score is not None
        ]
        sign = -1.0 if metric == PERPLEXITY else 1.0
        agreement = spearman([sign * value for value, _ in pairs], [score for _, score in pairs])
        found.append(Prediction(metric, agreement))
    return tuple(found)


def _value(row: ForkRow, metric: str, curve: TrunkCurve | None) -> float | None:
    if metric == EXAMPLES:
        return row.examples
    if metric == row.metric:
        return row.value
    if curve is None or row.step is None:
        return None
    return metric_at(curve, metric, row.step)
