"""A plan in words: counts per stage and state, what sharing saves, hours and money; and as a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from budgetctl.study.estimate import PlanEstimate, hours
from budgetctl.study.numerals import in_full
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import Recipe
from budgetctl.study.state import PlanState, StageState

DONE = StageState.HIT
_COLOURS = {
    StageState.HIT: "palegreen", StageState.RUNNING: "lightskyblue", StageState.READY: "white",
    StageState.WAITING: "gray90", StageState.FAILED: "salmon", StageState.BLOCKED: "mistyrose",
}  # fmt: skip


def missing(state: PlanState) -> list[str]:
    """Stages that are not published."""
    return [key for key, found in state.stages.items() if found is not DONE]


def to_do(plan: Plan, state: PlanState) -> int:
    """How many stages remain, each branch that a fork may still add counted as one."""
    waiting = sum(state.stages[branch.fork] is not DONE for branch in plan.branches)
    return len(missing(state)) + waiting


def summary(plan: Plan, state: PlanState) -> str:
    """One line: cells, stages, what sharing saves."""
    used = sum(len(cell.stages) for cell in plan.cells)
    return (
        f"{len(plan.cells)} cells, {len(plan.stages)} distinct stages of {used}, "
        f"{state.count(DONE)} already published"
    )


def overview(
    plan: Plan, plan_id: str, state: PlanState, estimate: PlanEstimate | None, recipe: Recipe | None = None
) -> str:
    """The table that `plan` shows."""
    states = [found for found in StageState if state.count(found)]
    header = "stage".ljust(8) + "total".rjust(8) + "".join(found.value.rjust(9) for found in states)
    lines = [f"plan {plan_id[:12]}  {plan.name}", header + ("     to do" if estimate else "")]
    for stage, counts in state.by_kind(plan).items():
        line = stage.ljust(8) + str(counts.total()).rjust(8)
        line += "".join(str(counts[found]).rjust(9) for found in states)
        if estimate:
            todo = [key for key in missing(state) if plan.stages[key].stage == stage]
            line += hours(estimate.seconds(todo)).rjust(10) + f"  {_sources(estimate, todo)}"
        lines.append(line.rstrip())
    lines.append(summary(plan, state))
    if plan.branches:
        lines.append(_branches(plan, state))
    if estimate:
        lines += _totals(estimate, missing(state), recipe)
    lines += [f"failed  {plan.stages[k].stage} {k[:12]}: {why}" for k, why in state.failures.items()]
    lines += [f"running {plan.stages[k].stage} {k[:12]}: {who}" for k, who in state.holders.items()]
    return "\n".join(lines)


def _branches(plan: Plan, state: PlanState) -> str:
    """What forks have added and may still add."""
    waiting = [branch for branch in plan.branches if state.stages[branch.fork] is not DONE]
    there = {cell.name for cell in plan.cells} & {branch.name for branch in plan.branches}
    line = f"{len({branch.fork for branch in plan.branches})} forks: {len(there)} cells so far"
    return f"{line}, up to {len(waiting)} more when their trunks are done" if waiting else line


def _sources(estimate: PlanEstimate, keys: Sequence[str]) -> str:
    found = estimate.sources(keys)
    return "+".join(sorted(found)) if keys else ""


def _totals(estimate: PlanEstimate, todo: Sequence[str], recipe: Recipe | None) -> list[str]:
    gpus = gpus_of(recipe)
    unit = "GPU time" if gpus else "worker time"
    seconds = estimate.seconds(todo) * max(1, gpus)
    lines = [
        f"{unit} to do: about {hours(seconds)}; sharing stages saves {hours(estimate.shared_s * max(1, gpus))}"
    ]
    if recipe is not None and recipe.cost.gpu_hour is not None:
        price, currency = recipe.cost.gpu_hour, recipe.cost.gpu_currency
        lines[0] += f"; about {money(seconds, price, currency)} at {currency}{price:g} an hour"
    sources = Counter(estimate.sources(todo))
    if sources["model"]:
        lines.append(f"{sources['model']} of {len(todo)} estimates are a {estimate.model.sentence()}")
    elif todo:
        lines.append("estimates are from this store's history")
    return lines


def gpus_of(recipe: Recipe | None) -> int:
    """GPUs of one worker; 0 if the recipe asks for none."""
    return int(recipe.slurm.gpus.rpartition(":")[2]) if recipe is not None and recipe.slurm.gpus else 0


def money(seconds: float, per_hour: float, currency: str) -> str:
    """What some time costs."""
    return f"{currency}{seconds / 3600 * per_hour:,.2f}"


def cell_list(plan: Plan, state: PlanState) -> str:
    """One line per cell: rows of each kind, what is left over, and each stage's key and state."""
    lines = []
    for cell in plan.cells:
        stages = "  ".join(f"{role} {key[:8]} {state.stages[key]}" for role, key in cell.stages.items())
        lines.append(f"{cell.name}  {_rows(cell.axes)}  |  {stages}")
    return "\n".join(lines)


def _rows(axes: Mapping[str, Any]) -> str:
    """What a cell buys; how many rows a budget in tokens buys is known once they are prepared."""
    if axes["left_over"] is None:
        return f"sft {axes['tokens_sft']} tokens  pft {axes['tokens_pft']} tokens"
    return f"sft {axes['n_sft']}  pft {axes['n_pft']}  left over {in_full(axes['left_over'])}"


def to_dot(plan: Plan, state: PlanState) -> str:
    """The graph of distinct stages for Graphviz, coloured by state."""
    lines = ["digraph plan {", '  rankdir=LR; node [shape=box, style=filled, fontname="sans-serif"];']
    for key, payload in plan.stages.items():
        found = state.stages[key]
        lines.append(f'  "{key[:12]}" [label="{payload.stage}\\n{key[:8]}", fillcolor={_COLOURS[found]}];')
        lines += [
            f'  "{parent[:12]}" -> "{key[:12]}" [label="{role}"];' for role, parent in payload.parents.items()
        ]
    return "\n".join([*lines, "}"])
