"""Made-up fork studies for the report tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from budgetctl.analysis.cells import CellStatus, Verdicts
from budgetctl.analysis.forks import BaselineRow, ForkResults, ForkRow, TrunkCurve
from budgetctl.forking.records import MonitorRow

ITEMS = 200
BATCH = 16


def verdicts(share: float) -> Verdicts:
    """The easiest items are right."""
    values = (np.arange(ITEMS) < round(share * ITEMS)).astype(np.float64)
    return Verdicts(tuple(f"item{index}" for index in range(ITEMS)), values)


def measured(share: float | None) -> dict[str, object]:
    """The fields of a finished run, or of one that is still to come."""
    if share is None:
        return {"score": None, "score_low": None, "score_high": None, "n_items": None,
                "status": CellStatus.MISSING, "reason": "not run yet"}  # fmt: skip
    return {"score": share, "score_low": share - 0.06, "score_high": share + 0.07, "n_items": ITEMS,
            "status": CellStatus.DONE, "verdicts": verdicts(share)}  # fmt: skip


def place(**more: object) -> dict[str, object]:
    return {"base": "tiny", "task": "arith", "seed": 0, "budget": 256.0, **more}


def fork(
    trigger: str, step: int, score: float | None, *, metric: str | None = "perplexity", value: float | None = 3.0,
    same_as: str = "", **more: object,
) -> ForkRow:  # fmt: skip
    """A trigger that fired after `step` steps of 16 rows, every row of the 192 used once."""
    examples = step * BATCH
    around = None if value is None else (value * 0.95, value * 1.06)
    fields: dict[str, object] = {
        **place(method="dpo"), "trigger": trigger, "same_as": same_as, "fired": True, "step": step,
        "examples": examples, "distinct": min(examples, 192), "epoch": examples / 192, "metric": metric,
        "value": value, "low": around and around[0], "high": around and around[1],
        "n_pft": 256 - min(examples, 192), "remaining": 256.0 - min(examples, 192), **measured(score), **more,
    }  # fmt: skip
    return ForkRow(**fields)  # type: ignore[arg-type]


def silent(
    trigger: str, metric: str | None = "perplexity", value: float | None = 2.4, **more: object
) -> ForkRow:
    """A trigger that did not fire."""
    fields = {"fired": False, "n_pft": None, "remaining": None, "reason": "", "status": CellStatus.IMPOSSIBLE}
    return fork(trigger, 20, None, metric=metric, value=value, **fields | more)


def baseline(kind: str, score: float | None, trigger: str | None = None, **more: object) -> BaselineRow:
    fields: dict[str, object] = {
        **place(method=None if kind == "sft-only" else "dpo"), "kind": kind, "trigger": trigger,
        "n_sft": 0 if kind == "pft-only" else 192, "n_pft": {"sft-only": 0, "pft-only": 256}.get(kind, 64),
        **measured(score), **more,
    }  # fmt: skip
    return BaselineRow(**fields)  # type: ignore[arg-type]


def curve(
    seed: int = 0,
    steps: int = 24,
    metrics: Sequence[str] = ("perplexity", "pass@1", "pass@4"),
    **more: object,
) -> TrunkCurve:
    """Perplexity falls from 40 to 2.4, pass@k rises."""
    points = []
    for step in range(0, steps + 1, 2):
        done = step / steps
        values = {
            "perplexity": 2.4 + 37 * np.exp(-7 * done) + 0.1 * seed,
            "pass@1": 0.35 * done,
            "pass@4": 0.6 * done,
        }
        for metric in metrics:
            value = float(values[metric])
            points.append(
                MonitorRow(
                    step, step * BATCH, min(step * BATCH, 192), step * BATCH / 192, 1e-3, metric, value,
                    max(value * 0.93 - 0.02, 0), value * 1.08 + 0.03, 0.04, 64, None, None, None,
                )
            )  # fmt: skip
    return TrunkCurve(**place(seed=seed, **more), points=tuple(points))  # type: ignore[arg-type]


def study() -> ForkResults:
    """Six triggers: four states, one of them named twice, and one trigger that did not fire."""
    rows = [
        fork("perplexity<=5", 10, 0.31, value=4.4),
        fork("perplexity<=3", 14, 0.40, value=2.9),
        silent("perplexity<=2"),
        fork("pass@1>=0.1", 14, 0.40, metric="pass@1", value=0.204, same_as="perplexity<=3"),
        fork("pass@1>=0.2", 20, 0.44, metric="pass@1", value=0.29),
        fork("plateau(perplexity,patience=3,gain=0.01)", 22, None, value=2.45),
        fork("examples=64", 4, 0.2, metric=None, value=None),
    ]
    baselines = [
        baseline("sft-only", 0.35),
        baseline("pft-only", 0.12),
        baseline("same-split", 0.30, "perplexity<=5"),
        baseline("same-split", 0.405, "perplexity<=3"),
        baseline("same-split", None, "pass@1>=0.2"),
    ]
    return ForkResults(rows, [curve()], baselines)
