"""Which cells to measure next: those that promise most for the decision, per unit of cost.

A measurement is worth what it is expected to add to the score of the share one would then choose (the
knowledge gradient: Frazier, Powell and Dayanik, INFORMS Journal on Computing 21(4), 2009). Under the
fitted surfaces the score of share a at the budget in question and the measurement at cell c vary
together, so seeing c moves E[a] by cov(a, c) / sqrt(var(c) + noise²) standard normal steps, and the
expected maximum over shares follows by quadrature. After each pick the covariance is updated as if the
cell had been measured, so that the picks do not all ask the same question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from budgetctl.analysis.allocation import AllocationModel, GroupName
from budgetctl.analysis.cells import FloatArray
from budgetctl.analysis.results_file import Observation
from budgetctl.analysis.thumb import needs_warm_start
from budgetctl.errors import UsageError
from budgetctl.study.budget import Prices, split_budget

_NODES = np.array([NormalDist().inv_cdf((index + 0.5) / 64) for index in range(64)])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell that could be measured."""

    base: str
    task: str
    method: str
    budget: float
    sft_share: float
    n_sft: int
    n_pft: int

    @property
    def group(self) -> GroupName:
        """Which surface it lies on."""
        return self.base, self.task, self.method


@dataclass(frozen=True, slots=True)
class Pick:
    """A cell worth measuring.

    Attributes:
        gain: expected rise of the chosen share's true score, summed over the budgets asked about.
        cost: in the unit of the cost function.
    """

    cell: Candidate
    gain: float
    cost: float

    def as_json(self) -> dict[str, Any]:
        """Flat data for `--json`."""
        cell = self.cell
        return {
            "base": cell.base,
            "task": cell.task,
            "budget": int(cell.budget) if float(cell.budget).is_integer() else cell.budget,
            "sft_ratio": cell.sft_share,
            "n_sft": cell.n_sft,
            "n_pft": cell.n_pft,
            "gain": round(self.gain, 6),
            "cost": self.cost,
        }


def rows_cost(cell: Candidate) -> float:
    """Training rows, which GPU time grows with, plus a fixed part for loading and evaluation."""
    return float(cell.n_sft + cell.n_pft) + 1_000.0


def candidate_cells(
    groups: Sequence[GroupName],
    budgets: Sequence[float],
    shares: Sequence[float],
    prices: Prices | None = None,
) -> list[Candidate]:
    """The full grid of budgets and shares for every group."""
    found = []
    for base, task, method in groups:
        for budget in budgets:
            for share in shares:
                split = split_budget(budget, share, prices or Prices())
                found.append(Candidate(base, task, method, budget, share, split.n_sft, split.n_pft))
    return found


def recommend_next(
    model: AllocationModel,
    candidates: Sequence[Candidate],
    targets: Sequence[Candidate],
    count: int,
    cost: Callable[[Candidate], float] = rows_cost,
) -> list[Pick]:
    """Picks the cells whose measurement would help the decisions most per unit of cost.

    Args:
        model: fitted to what is known so far.
        candidates: cells that could be measured (measured ones too, as replicates).
        targets: the shares to choose among, at the budgets asked about; those of one group and budget
            are one decision. See `candidate_cells`.
        count: how many cells to pick at most.
        cost: of measuring a cell, in GPU-hours, money or rows; positive.

    Raises:
        UsageError: no candidate or target belongs to a group that the model knows, or a cost is not
            positive.
    """
    costs = {candidate: cost(candidate) for candidate in candidates}
    for candidate, price in costs.items():
        if price <= 0:
            raise UsageError(
                f"the cost of {candidate.budget:g} at share {candidate.sft_share:g} is {price:g}"
            )
    known = [name for name in model.groups if any(target.group == name for target in targets)]
    fields = {
        name: _Field(
            model,
            name,
            [candidate for candidate in candidates if candidate.group == name],
            [target for target in targets if target.group == name],
        )
        for name in known
    }
    fields = {name: part for name, part in fields.items() if part.candidates}
    if not fields:
        raise UsageError("no candidate cell belongs to a base model and task with results")
    picks: list[Pick] = []
    taken: set[Candidate] = set()
    for _ in range(min(count, sum(len(part.candidates) for part in fields.values()))):
        offers = [
            Pick(candidate, gain, costs[candidate])
            for part in fields.values()
            for candidate, gain in zip(part.candidates, part.gains(), strict=True)
            if candidate not in taken
        ]
        best = max(offers, key=lambda offer: offer.gain / offer.cost)
        picks.append(best)
        taken.add(best.cell)
        fields[best.cell.group].observe(best.cell)
    return picks


def measured_cells(observations: Sequence[Observation]) -> set[tuple[str, str, str, int, int]]:
    """Places that have a score already: (base, task, method, n_sft, n_pft)."""
    return {(one.base, one.task, one.method, one.n_sft, one.n_pft) for one in observations}


class _Field:
    """Means and covariance of one group's candidate and target scores."""

    def __init__(
        self,
        model: AllocationModel,
        name: GroupName,
        candidates: Sequence[Candidate],
        targets: Sequence[Candidate],
    ) -> None:
        self.candidates = list(candidates)
        useful = [t for t in targets if t.sft_share > 0 or not needs_warm_start(t.task)]
        cells = [*self.candidates, *(useful or targets)]
        draws = model.score_draws(name, [cell.n_sft for cell in cells], [cell.n_pft for cell in cells])
        first = len(self.candidates)
        self.mean: FloatArray = draws[:, first:].mean(axis=0)
        self.covariance: FloatArray = np.atleast_2d(np.cov(draws, rowvar=False))
        self.noise = model.noise_sd**2
        budgets = [cell.budget for cell in cells[first:]]
        self.decisions = [
            np.array([index for index, other in enumerate(budgets) if other == budget])
            for budget in dict.fromkeys(budgets)
        ]

    def gains(self) -> list[float]:
        """Expected rise of the best mean, per candidate, summed over the decisions."""
        first = len(self.candidates)
        scale = np.sqrt(np.diag(self.covariance)[:first] + self.noise)
        steps = self.covariance[first:, :first] / scale
        total = np.zeros(first)
        for members in self.decisions:
            moved = self.mean[members][:, None, None] + steps[members][:, :, None] * _NODES
            total += moved.max(axis=0).mean(axis=-1) - self.mean[members].max()
        return [float(value) for value in np.maximum(total, 0.0)]

    def observe(self, candidate: Candidate) -> None:
        """Shrinks the covariance as a measurement there would; the means stay, as its outcome is unknown."""
        index = self.candidates.index(candidate)
        column = self.covariance[:, index].copy()
        self.covariance = self.covariance - np.outer(column, column) / (column[index] + self.noise)
