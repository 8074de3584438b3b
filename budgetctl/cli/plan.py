"""`budgetctl plan`: what a study consists of and where it stands, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import JsonOption, StoreOption, open_store

if TYPE_CHECKING:
    from budgetctl.study.plan import Plan
    from budgetctl.study.state import PlanState


def plan(
    grid: Annotated[Path, typer.Option("--grid", help="The recipe.")],
    store: StoreOption = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="List every cell with its rows and its stages.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Show a study's cells and distinct stages: hit, running, ready, waiting, failed or blocked.

    Example: budgetctl plan --grid recipes/quickstart.yaml
    """
    from budgetctl.study.build import plan_study  # noqa: PLC0415
    from budgetctl.study.recipe import load_recipe  # noqa: PLC0415
    from budgetctl.study.state import state_of  # noqa: PLC0415

    opened = open_store(store)
    planned = plan_study(load_recipe(grid), opened)
    plan_id = opened.save_plan(planned.document())
    state = state_of(planned, opened)
    if json_:
        import json  # noqa: PLC0415

        stages = {
            key: {"stage": planned.stages[key].stage, "state": found} for key, found in state.stages.items()
        }
        listed = [{"name": c.name, **c.axes, "stages": dict(c.stages)} for c in planned.cells]
        print(json.dumps({"plan": plan_id, "cells": listed, "stages": stages}))
        return
    print(overview(planned, plan_id, state))
    if cells:
        print(cell_list(planned, state))


def overview(planned: Plan, plan_id: str, state: PlanState) -> str:
    """Counts per stage and state, and the totals, as plain text."""
    from budgetctl.study.state import StageState  # noqa: PLC0415

    states = [s for s in StageState if state.count(s)]
    lines = [f"plan {plan_id[:12]}  {planned.name}"]
    lines.append("stage".ljust(8) + "total".rjust(8) + "".join(s.value.rjust(9) for s in states))
    for stage, counts in state.by_kind(planned).items():
        lines.append(
            stage.ljust(8) + str(counts.total()).rjust(8) + "".join(str(counts[s]).rjust(9) for s in states)
        )
    used = sum(len(cell.stages) for cell in planned.cells)
    shared = used - len(planned.stages)
    lines.append(
        f"{len(planned.cells)} cells, {used} stages, {len(planned.stages)} of them distinct ({shared} saved by sharing), "
        f"{state.count(StageState.HIT)} already there"
    )
    lines.extend(f"failed  {planned.stages[k].stage} {k[:12]}: {why}" for k, why in state.failures.items())
    lines.extend(f"running {planned.stages[k].stage} {k[:12]}: {who}" for k, who in state.holders.items())
    return "\n".join(lines)


def cell_list(planned: Plan, state: PlanState) -> str:
    """One line per cell: rows of each kind, what is left over, and each stage's key and state."""
    lines = []
    for cell in planned.cells:
        stages = "  ".join(f"{role} {key[:8]} {state.stages[key]}" for role, key in cell.stages.items())
        rows = f"sft {cell.axes['n_sft']}  pft {cell.axes['n_pft']}  left over {cell.axes['left_over']:g}"
        lines.append(f"{cell.name}  {rows}  |  {stages}")
    return "\n".join(lines)
