"""How well the metrics at the forks foretold the order of their final scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.forks import ForkRow, TrunkCurve
from budgetctl.forking.triggers import PERPLEXITY
from budgetctl.scoring.rank_correlation import RankCorrelation, spearman

EXAMPLES = "examples"


@dataclass(frozen=True, slots=True)
class Prediction:
    """How the order of a metric at the forks agrees with the order of their final scores.

    Attributes:
        metric: `perplexity`, `pass@k`, or `examples` for the mere length of the training before the fork.
        agreement: Spearman's correlation within a trunk, averaged over trunks, turned so that 1 means that the better
            metric had the better score.
    """

    metric: str
    agreement: RankCorrelation


def predictions_of(states: Sequence[ForkRow], trunks: Sequence[TrunkCurve]) -> tuple[Prediction, ...]:
    """One per metric of the trunks, and the examples.

    Args:
        states: Forks that fired, each saved state once.
        trunks: Their curves.
    """
    curves = {curve.place: curve for curve in trunks}
    metrics = dict.fromkeys(point.metric for curve in trunks for point in curve.points)
    done = [row for row in states if row.status is CellStatus.DONE and row.score is not None]
    found = []
    for metric in [*metrics, EXAMPLES]:
        at_fork = [(_value(row, metric, curves.get(row.place)), row) for row in done]
        known = [(value, row) for value, row in at_fork if value is not None]
        sign = -1.0 if metric == PERPLEXITY else 1.0
        agreement = spearman(
            [sign * value for value, _ in known],
            [row.score or 0.0 for _, row in known],
            [row.place for _, row in known],
        )
        found.append(Prediction(metric, agreement))
    return tuple(found)


def metric_at(curve: TrunkCurve, metric: str, step: int) -> float | None:
    """The last value measured at or before a step; None when there is none."""
    values = [point.value for point in curve.points if point.metric == metric and point.step <= step]
    return values[-1] if values else None


def _value(row: ForkRow, metric: str, curve: TrunkCurve | None) -> float | None:
    if metric == EXAMPLES:
        return row.examples
    if metric == row.metric:
        return row.value
    if curve is None or row.step is None:
        return None
    return metric_at(curve, metric, row.step)
