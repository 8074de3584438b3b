"""One cell of a study as the analysis sees it: where it lies in the grid, and what came out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class CellStatus(StrEnum):
    """What is known of a cell: `done` has a score, the others say why there is none."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    MISSING = "missing"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """One number per test item, so that two cells can be compared item by item.

    Attributes:
        items: the items' identifiers, in the order of `values`.
        values: shape (n,), usually 0 or 1, or a fraction where an item has several parts.
    """

    items: tuple[str, ...]
    values: FloatArray

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.items),):
            raise ValueError(f"{len(self.items)} items but verdicts of shape {self.values.shape}")


@dataclass(frozen=True, slots=True)
class CellResult:
    """The outcome of one cell and one seed.

    A cell of budget 0 is the base model itself, untrained: its share and method mean nothing.

    Attributes:
        budget: what the cell may spend, in examples or (with prices) in money.
        sft_share: part of the budget that goes to supervised finetuning, 0 to 1.
        score: mean verdict over the test items; None unless `status` is done.
        n_items: how many test items the score is the mean of; None when not known.
        verdicts: the single items' results, when they are at hand.
        reason: for a cell without a score, one sentence on why.
        key: key of the `eval` artifact, planned or published.
        cost: money that the cell's examples cost, when there are prices.
    """

    base: str
    task: str
    method: str
    budget: float
    sft_share: float
    seed: int = 0
    n_sft: int | None = None
    n_pft: int | None = None
    score: float | None = None
    n_items: int | None = None
    verdicts: Verdicts | None = field(default=None, repr=False, compare=False)
    status: CellStatus = CellStatus.DONE
    reason: str = ""
    key: str | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        if (self.status is CellStatus.DONE) != (self.score is not None):
            raise ValueError(f"cell {self.label}: status {self.status.value} with score {self.score}")
        if not 0.0 <= self.sft_share <= 1.0:
            raise ValueError(f"cell {self.label}: SFT share {self.sft_share} is not between 0 and 1")
        if self.budget < 0:
            raise ValueError(f"cell {self.label}: budget {self.budget} is negative")

    @property
    def label(self) -> str:
        """The cell's place in words, for messages."""
        return f"{self.base}/{self.task}/{self.method}/{self.budget:g}/{self.sft_share:g}/seed {self.seed}"

    @property
    def is_baseline(self) -> bool:
        """Whether this is the untrained base model's score."""
        return self.budget == 0

    @property
    def group(self) -> tuple[str, str, str]:
        """Cells of one group share a table: (base, task, method)."""
        return self.base, self.task, self.method


def worst_status(cells: Iterable[CellResult]) -> CellStatus:
    """The status to show for a place in the grid none of whose seeds is done."""
    order = (CellStatus.FAILED, CellStatus.RUNNING, CellStatus.IMPOSSIBLE, CellStatus.MISSING)
    found = {cell.status for cell in cells}
    return next((status for status in order if status in found), CellStatus.MISSING)
