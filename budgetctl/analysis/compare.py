"""Two results against each other: is one better, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from budgetctl.analysis.cells import CellResult
from budgetctl.analysis.uncertainty import (
    Difference,
    Estimate,
    difference,
    estimate,
    seed_noise,
    shared_items,
)
from budgetctl.analysis.words import value_text
from budgetctl.errors import UsageError
from budgetctl.scoring.intervals import Interval
from budgetctl.scoring.paired import McNemar, mcnemar_exact, paired_bootstrap


@dataclass(frozen=True, slots=True)
class Comparison:
    """Left against right.

    Attributes:
        gap: left minus right.
        wins, losses, draws: items on which left did better, worse, the same; None if not paired.
        unshared: items that only one side answered.
        mcnemar: exact test, where every item is right or wrong and each side is one model.
        bootstrap: percentile interval of the paired difference over items; None if not paired.
    """

    left: Estimate
    right: Estimate
    gap: Difference
    wins: int | None
    losses: int | None
    draws: int | None
    confidence: float
    unshared: int = 0
    mcnemar: McNemar | None = None
    bootstrap: Interval | None = None

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.gap.is_real is None:
            return "neither items nor seeds are known, so nothing says whether the difference is real"
        if not self.gap.is_real:
            return "the two cannot be told apart"
        return f"the {'first' if self.gap.mean > 0 else 'second'} is better"

    def as_json(self) -> dict[str, Any]:
        """The comparison as flat data."""
        return {
            "left": self.left.mean,
            "right": self.right.mean,
            "difference": self.gap.mean,
            "low": self.gap.low,
            "high": self.gap.high,
            "confidence": self.confidence,
            "paired": self.gap.paired,
            "n": self.gap.n_items,
            "wins": self.wins,
            "losses": self.losses,
            "draws": self.draws,
            "real": self.gap.is_real,
            "unshared": self.unshared,
            "mcnemar_p": None if self.mcnemar is None else self.mcnemar.p_value,
            "bootstrap_low": None if self.bootstrap is None else self.bootstrap.low,
            "bootstrap_high": None if self.bootstrap is None else self.bootstrap.high,
        }

    def as_text(self) -> str:
        """The comparison for a terminal."""
        lines = [f"first   {value_text(self.left)}", f"second  {value_text(self.right)}"]
        gap = f"difference {self.gap.mean:+.3f}"
        if self.gap.low is not None and self.gap.high is not None:
            how = "paired by item" if self.gap.paired else "not paired"
            gap += f" ({self.confidence * 100:g} %: {self.gap.low:+.3f} to {self.gap.high:+.3f}, {how})"
        lines.append(gap)
        if self.wins is not None:
            lines.append(f"items: first better on {self.wins}, second on {self.losses}, same on {self.draws}")
        if self.mcnemar is not None:
            only = (
                f"{self.mcnemar.only_first} only by the first, {self.mcnemar.only_second} only by the second"
            )
            lines.append(f"McNemar's exact test: p = {self.mcnemar.p_value:.2g} (right {only})")
        if self.bootstrap is not None:
            lines.append(f"bootstrap over items: {self.bootstrap.low:+.3f} to {self.bootstrap.high:+.3f}")
        if self.unshared:
            lines.append(
                f"{self.unshared} items that only one side answered are left out of the paired figures"
            )
        return "\n".join([*lines, self.verdict]) + "\n"


def compare(
    left: Sequence[CellResult], right: Sequence[CellResult], *, confidence: float = 0.95
) -> Comparison:
    """Compares two finished results, each over one or more seeds; item by item where items are shared.

    Raises:
        UsageError: one side has no score, or the sides measure different tasks.
    """
    for name, side in (("first", left), ("second", right)):
        unfinished = [cell for cell in side if cell.score is None]
        if not side or unfinished:
            what = unfinished[0].label if unfinished else "it"
            raise UsageError(f"the {name} result has no score: {what} is not finished")
    tasks = {cell.task for cell in (*left, *right)}
    if len(tasks) > 1:
        raise UsageError(f"results of different tasks cannot be compared: {', '.join(sorted(tasks))}")
    noise = seed_noise([left, right])
    shared = shared_items(left, right)
    items = None if shared is None else shared[0] - shared[1]
    mcnemar = bootstrap = None
    if shared is not None and len(shared[0]) > 1:
        bootstrap = paired_bootstrap(shared[1], shared[0], confidence).interval
        if len(left) == len(right) == 1 and all(np.isin(side, (0.0, 1.0)).all() for side in shared):
            mcnemar = mcnemar_exact(*shared)
    return Comparison(
        left=estimate(left, noise, confidence),
        right=estimate(right, noise, confidence),
        gap=difference(left, right, noise, confidence),
        wins=None if items is None else int((items > 0).sum()),
        losses=None if items is None else int((items < 0).sum()),
        draws=None if items is None else int((items == 0).sum()),
        confidence=confidence,
        unshared=_unshared(left, right) if shared is not None else 0,
        mcnemar=mcnemar,
        bootstrap=bootstrap,
    )


def _unshared(left: Sequence[CellResult], right: Sequence[CellResult]) -> int:
    """How many items only one side answered."""
    sides = [set(side[0].verdicts.items) for side in (left, right) if side[0].verdicts is not None]
    return len(sides[0] ^ sides[1])
