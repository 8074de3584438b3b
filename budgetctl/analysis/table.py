"""The sweep table: rows are budgets, columns SFT shares, each cell a mean with its uncertainty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from budgetctl.analysis.cells import CellResult, CellStatus, worst_status
from budgetctl.analysis.uncertainty import (
    Difference,
    Estimate,
    SeedNoise,
    difference,
    estimate,
    seed_noise,
)

RowAxis = Literal["budget", "cost", "n_sft", "n_pft"]
Group = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class TableCell:
    """One place of the table.

    Attributes:
        estimate: mean and interval over the finished seeds; None when no seed is done.
        status: `done` as soon as one seed is done.
        planned: how many seeds the study has here; `estimate.n_seeds` of them are done.
        best: whether the mean is the highest of its row.
        tied: whether it cannot be told apart from the row's best (never set on the best itself).
        to_best: this cell minus the row's best; None on the best and on unfinished cells.
        reason: why there is no score, when there is none.
        keys: keys of the results behind it.
    """

    share: float
    estimate: Estimate | None
    status: CellStatus
    planned: int
    best: bool = False
    tied: bool = False
    to_best: Difference | None = None
    reason: str = ""
    keys: tuple[str, ...] = ()
    budget: float | None = None
    n_sft: int | None = None
    n_pft: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One budget (or cost, or number of rows) with a cell for every share of the table."""

    value: float
    cells: tuple[TableCell, ...]

    @property
    def best(self) -> TableCell | None:
        """The cell with the highest mean."""
        return next((cell for cell in self.cells if cell.best), None)


@dataclass(frozen=True, slots=True)
class SweepTable:
    """All budgets and shares of one base model, task and method.

    Attributes:
        axis: what the rows are.
        shares: the columns, SFT-only first.
        baseline: the untrained base model's score; None when it was not measured.
        noise: how much a score varies between seeds, pooled over the table.
        confidence: of the intervals, e.g. 0.95.
    """

    base: str
    task: str
    method: str
    axis: RowAxis
    shares: tuple[float, ...]
    rows: tuple[TableRow, ...]
    baseline: Estimate | None
    baseline_status: CellStatus
    noise: SeedNoise
    confidence: float

    @property
    def title(self) -> str:
        """Base, task and method in one line."""
        return " · ".join(part for part in (self.base, self.task, self.method) if part)


def build_tables(
    cells: Iterable[CellResult], *, by: RowAxis = "budget", confidence: float = 0.95
) -> list[SweepTable]:
    """Arranges cells into one table per (base, task, method), in order of first appearance.

    Cells of budget 0 are the base model's own score and belong to every method of their base and task.
    """
    groups: dict[Group, list[CellResult]] = defaultdict(list)
    baselines: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for cell in cells:
        if cell.is_baseline:
            baselines[cell.base, cell.task].append(cell)
        else:
            groups[cell.group].append(cell)
    for base, task in baselines:
        if not any(group[:2] == (base, task) for group in groups):
            groups[base, task, ""] = []
    return [
        _build_table(group, members, baselines.get(group[:2], []), by, confidence)
        for group, members in groups.items()
    ]


def _build_table(
    group: Group, cells: Sequence[CellResult], baseline: Sequence[CellResult], by: RowAxis, confidence: float
) -> SweepTable:
    value = _ROW_VALUES[by]
    places: dict[tuple[float, float], list[CellResult]] = defaultdict(list)
    for cell in cells:
        row = value(cell)
        if row is not None:
            places[row, cell.sft_share].append(cell)
    rows = sorted({row for row, _ in places})
    shares = tuple(sorted({share for _, share in places}, reverse=True))
    done = {place: [c for c in found if c.status is CellStatus.DONE] for place, found in places.items()}
    noise = seed_noise(list(done.values()))
    done_baseline = [cell for cell in baseline if cell.status is CellStatus.DONE]
    return SweepTable(
        base=group[0],
        task=group[1],
        method=group[2],
        axis=by,
        shares=shares,
        rows=tuple(
            _build_row(row, {share: places.get((row, share), []) for share in shares}, noise, confidence)
            for row in rows
        ),
        baseline=estimate(done_baseline, SeedNoise(0.0, 0), confidence) if done_baseline else None,
        baseline_status=CellStatus.DONE if done_baseline else worst_status(baseline),
        noise=noise,
        confidence=confidence,
    )


def _build_row(
    value: float, planned: Mapping[float, Sequence[CellResult]], noise: SeedNoise, confidence: float
) -> TableRow:
    done = {share: [c for c in cells if c.status is CellStatus.DONE] for share, cells in planned.items()}
    row = [_build_cell(share, planned[share], done[share], noise, confidence) for share in planned]
    scored = [cell for cell in row if cell.estimate is not None]
    if len(scored) < 2:
        return TableRow(value, tuple(row))
    best = max(scored, key=lambda cell: cell.estimate.mean if cell.estimate else 0.0)
    # The best is chosen after looking, so each of the others is compared at a stricter level (Bonferroni).
    strict = 1 - (1 - confidence) / (len(scored) - 1)
    return TableRow(value, tuple(_mark(cell, best, done, noise, strict) for cell in row))


def _mark(
    cell: TableCell,
    best: TableCell,
    done: Mapping[float, Sequence[CellResult]],
    noise: SeedNoise,
    confidence: float,
) -> TableCell:
    if cell is best:
        return replace(cell, best=True)
    if cell.estimate is None:
        return cell
    gap = difference(done[cell.share], done[best.share], noise, confidence)
    return replace(cell, to_best=gap, tied=gap.is_real is False)


def _build_cell(
    share: float,
    planned: Sequence[CellResult],
    done: Sequence[CellResult],
    noise: SeedNoise,
    confidence: float,
) -> TableCell:
    unfinished = [cell for cell in planned if cell.status is not CellStatus.DONE]
    first = next(iter(done or planned), None)
    status = CellStatus.DONE if done else worst_status(planned)
    reasons = dict.fromkeys(cell.reason for cell in unfinished if cell.reason)
    return TableCell(
        share=share,
        estimate=estimate(done, noise, confidence) if done else None,
        status=status,
        planned=len(planned),
        reason="; ".join(reasons) if planned else "not planned",
        keys=tuple(cell.key for cell in (done or planned) if cell.key),
        budget=first.budget if first else None,
        n_sft=first.n_sft if first else None,
        n_pft=first.n_pft if first else None,
        cost=first.cost if first else None,
    )


_ROW_VALUES: dict[RowAxis, Callable[[CellResult], float | None]] = {
    "budget": lambda cell: cell.budget,
    "cost": lambda cell: cell.cost,
    "n_sft": lambda cell: cell.n_sft,
    "n_pft": lambda cell: cell.n_pft,
}
