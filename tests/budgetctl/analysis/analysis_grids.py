"""Small made-up studies for the analysis tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from budgetctl.analysis.cells import CellResult, CellStatus, Verdicts


def verdict_cell(
    values: Sequence[float], *, budget: float = 100, share: float = 1.0, seed: int = 0, **more: object
) -> CellResult:
    """A finished cell whose score is the mean of the given verdicts."""
    array = np.asarray(values, dtype=np.float64)
    items = tuple(f"item{index}" for index in range(len(array)))
    settings: dict[str, object] = {"base": "tiny", "task": "arith", "method": "dpo", "key": "ab" * 32, **more}
    return CellResult(
        budget=budget,
        sft_share=share,
        seed=seed,
        score=float(array.mean()),
        n_items=len(array),
        verdicts=Verdicts(items, array),
        **settings,  # type: ignore[arg-type]
    )


def study(
    budgets: Sequence[float] = (100, 400, 1600),
    shares: Sequence[float] = (1, 0.75, 0.5, 0.25, 0),
    seeds: int = 2,
    items: int = 120,
    random_state: int = 0,
    **more: object,
) -> list[CellResult]:
    """Finished cells whose score grows with the budget and peaks at share 0.5, with real-looking noise."""
    rng = np.random.default_rng(random_state)
    hardness = rng.normal(size=items)
    cells = []
    for budget in budgets:
        for share in shares:
            for seed in range(seeds):
                level = 0.5 * np.log10(budget / 50) - 2 * (share - 0.5) ** 2 - 0.6
                draw = hardness + level + rng.normal(size=items) + 0.1 * rng.normal() > 0
                n_sft = round(budget * share)
                cells.append(
                    verdict_cell(
                        draw.astype(float),
                        budget=budget,
                        share=share,
                        seed=seed,
                        n_sft=n_sft,
                        n_pft=int(budget) - n_sft,
                        **more,
                    )
                )
    return cells


def unfinished(status: CellStatus, **place: object) -> CellResult:
    """A cell without a score."""
    settings: dict[str, object] = {"base": "tiny", "task": "arith", "method": "dpo", **place}
    return CellResult(status=status, **settings)  # type: ignore[arg-type]
