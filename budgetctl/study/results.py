"""What a plan's cells have come to: from published evaluations to the analysis's cell results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from budgetctl.errors import UsageError
from budgetctl.study.bought import counted_axes
from budgetctl.study.plan import Plan, PlannedCell
from budgetctl.study.state import PlanState, StageState, state_of
from store import Artifact, Store

if TYPE_CHECKING:
    from budgetctl.analysis.cells import CellResult, Verdicts


def cell_results(
    plan: Plan, store: Store, with_verdicts: bool = True, metric: str | None = None
) -> list[CellResult]:
    """Every cell of the plan's grid with its score, or with the reason why it has none; forks are told apart.

    Args:
        plan: The study.
        store: Where its artifacts are.
        with_verdicts: Read the single items' verdicts too, for paired comparisons.
        metric: Which score; None takes each task's primary one.

    Raises:
        UsageError: An evaluation has no such metric.
    """
    state = state_of(plan, store)
    grid = (cell for cell in plan.cells if "role" not in cell.axes)
    return [_result(cell, store, state, with_verdicts, metric) for cell in grid]


def _result(
    cell: PlannedCell, store: Store, state: PlanState, with_verdicts: bool, metric: str | None
) -> CellResult:
    from budgetctl.analysis.cells import CellResult, CellStatus  # noqa: PLC0415  (numpy)

    axes = counted_axes(cell, store)
    common: dict[str, Any] = {
        "base": axes["base"],
        "task": axes["task"],
        "method": axes["method"],
        "budget": axes["budget"],
        "sft_share": axes["share"],
        "seed": axes["seed"],
        "n_sft": axes["n_sft"],
        "n_pft": axes["n_pft"],
        "key": cell.result,
        "cost": axes["cost"],
    }
    if state.stages[cell.result] is not StageState.HIT:
        status, reason = why_missing(cell, state)
        return CellResult(**common, status=CellStatus(status), reason=reason)
    return CellResult(**common, **measured(store.artifact(cell.result), with_verdicts, metric))


def evaluation_result(evaluation: Artifact) -> CellResult:
    """One evaluation outside any grid, for comparisons.

    Raises:
        UsageError: The artifact is no evaluation.
    """
    from budgetctl.analysis.cells import CellResult  # noqa: PLC0415

    if evaluation.stage != "eval":
        raise UsageError(
            f"{evaluation.key[:12]} is a {evaluation.stage} artifact; give the key of an evaluation"
        )
    axes: dict[str, Any] = {"base": "", "method": "", "budget": 0.0, "sft_share": 0.0, "key": evaluation.key}
    return CellResult(
        task=str(evaluation.metrics["task"]), **axes, **measured(evaluation, with_verdicts=True)
    )


def measured(evaluation: Artifact, with_verdicts: bool, metric: str | None = None) -> dict[str, Any]:
    """Score (the primary one, if no `metric` is named), number of items and verdicts of a published evaluation."""
    name = metric or str(evaluation.metrics["primary"])
    score = evaluation.metrics.get(name)
    if not isinstance(score, float):
        there = sorted(other for other, value in evaluation.metrics.items() if isinstance(value, float))
        raise UsageError(
            f"there is no score {name!r} in evaluation {evaluation.key[:12]}; it has {', '.join(there)}"
        )
    verdicts = _verdicts(evaluation.path("verdicts.parquet"), name) if with_verdicts else None
    return {
        "score": score,
        "n_items": evaluation.metrics["prompts"],
        "verdicts": verdicts,
    }


def why_missing(cell: PlannedCell, state: PlanState) -> tuple[str, str]:
    """Status and one sentence for a cell without a score."""
    states = {key: state.stages[key] for key in cell.stages.values()}
    for key, found in states.items():
        if found is StageState.FAILED:
            return "failed", state.failures[key]
    for key, found in states.items():
        if found is StageState.RUNNING:
            return "running", state.holders[key]
    if StageState.BLOCKED in states.values():
        return "failed", "a stage that it shares with another cell failed"
    return "missing", "not run yet"


def _verdicts(path: object, metric: str) -> Verdicts | None:
    """The single items' verdicts, whose mean is the score; None for a score that is not a mean over items.

    Where prompts have different numbers of verdicts (of instructions, say) the score p is a ratio of sums, and an item
    with the sum s of m verdicts stands for p + (s − p·m) / mean m: these have p as their mean, and their spread is
    that of the ratio (Cochran, "Sampling Techniques", 1977, section 6.4).
    """
    import numpy as np  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from budgetctl.analysis.cells import Verdicts  # noqa: PLC0415

    table = pq.read_table(path, columns=["prompt_id", "metric", "value"])
    table = table.filter(pc.equal(table["metric"], metric))
    if not table.num_rows:
        return None
    by_prompt = table.group_by("prompt_id").aggregate([("value", "sum"), ("value", "count")])
    by_prompt = by_prompt.sort_by("prompt_id")
    sums, counts = (np.asarray(by_prompt[f"value_{name}"], dtype=np.float64) for name in ("sum", "count"))
    values = sums / counts
    if (counts != counts[0]).any():
        ratio = sums.sum() / counts.sum()
        values = ratio + (sums - ratio * counts) / counts.mean()
    return Verdicts(tuple(by_prompt["prompt_id"].to_pylist()), values)
