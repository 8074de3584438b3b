"""`budgetctl recommend`: how to split a budget, from the results there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import JsonOption, StoreOption, find_store

if TYPE_CHECKING:
    from budgetctl.analysis.cells import CellResult
    from budgetctl.analysis.recommend import Recommendation
    from budgetctl.analysis.results_file import Observation


app = typer.Typer(invoke_without_command=True)

ResultsOption = Annotated[
    Path | None,
    typer.Option(
        help="A CSV base,task,budget,sft_ratio,score[,n,seed]; else the store's plans.", show_default=False
    ),
]


@app.callback()
def recommend(
    context: typer.Context,
    budget: Annotated[
        float | None,
        typer.Option(help="What there is to spend: rows, or money with prices.", show_default=False),
    ] = None,
    results: ResultsOption = None,
    sft_cost: Annotated[float, typer.Option(help="Price of one demonstration.")] = 1.0,
    pft_cost: Annotated[float, typer.Option(help="Price of one preference pair.")] = 1.0,
    task: Annotated[str | None, typer.Option(help="Only this task.", show_default=False)] = None,
    base: Annotated[str | None, typer.Option(help="Only this base model.", show_default=False)] = None,
    shares: Annotated[
        str | None,
        typer.Option(
            help="SFT shares to choose from, comma-separated, or `continuous`; else the measured ones.",
            show_default=False,
        ),
    ] = None,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Say which share of a budget should go to SFT, what score to expect, and how sure that is.

    Example: budgetctl recommend --budget 5000 --sft-cost 4 --pft-cost 1 --results results.csv
    """
    from budgetctl.analysis.recommend import CONTINUOUS_SHARES  # noqa: PLC0415
    from budgetctl.analysis.recommend import recommend as advise  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.budget import Prices, exact  # noqa: PLC0415

    if context.invoked_subcommand is not None:
        return
    if budget is None:
        raise UsageError("say what there is to spend with --budget, such as --budget 5000")
    menu = list(CONTINUOUS_SHARES) if shares == "continuous" else _numbers(shares, "--shares")
    observations = _observations(results, store)
    found = advise(
        observations,
        budget,
        prices=Prices(exact(sft_cost, "--sft-cost"), exact(pft_cost, "--pft-cost")),
        shares=menu,
        base=base,
        task=task,
    )
    print(json.dumps([advice.as_json() for advice in found], indent=1) if json_ else _sentences(found))


@app.command("next")
def next_cells(
    budget: Annotated[float, typer.Option(help="The budget that the answer is wanted for.")],
    cells: Annotated[int, typer.Option(min=1, help="How many cells to name.")] = 5,
    results: ResultsOption = None,
    budgets: Annotated[
        str | None,
        typer.Option(help="Budgets that could be measured; else the measured ones.", show_default=False),
    ] = None,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Name the cells whose measurement would narrow the answer most per row trained on.

    Example: budgetctl recommend next --budget 5000 --cells 5 --results results.csv
    """
    from budgetctl.analysis.allocation import AllocationModel  # noqa: PLC0415
    from budgetctl.analysis.next_cells import candidate_cells, recommend_next  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415

    observations = [one for one in _observations(results, store) if one.budget]
    if not observations:
        raise UsageError("there are no results to go by; measure a few cells first, or pass --results")
    model = AllocationModel.fit(observations)
    shares = sorted({one.sft_share for one in observations}, reverse=True)
    measurable = _numbers(budgets, "--budgets") or sorted({one.budget for one in observations})
    picks = recommend_next(
        model,
        candidate_cells(model.groups, measurable, shares),
        candidate_cells(model.groups, [budget], shares),
        cells,
    )
    if json_:
        print(json.dumps([pick.as_json() for pick in picks], indent=1))
        return
    for pick in picks:
        where = " · ".join(name for name in (pick.cell.base, pick.cell.task, pick.cell.method) if name)
        print(f"{where}: budget {pick.cell.budget:g}, SFT share {pick.cell.sft_share:g}")


def _numbers(text: str | None, option: str) -> list[float] | None:
    from budgetctl.errors import UsageError  # noqa: PLC0415

    try:
        return [float(number) for number in text.split(",")] if text else None
    except ValueError as error:
        raise UsageError(f"{option} takes numbers such as 1,0.5,0; got {text!r}") from error


def _observations(results: Path | None, store: Path | None) -> Sequence[Observation]:
    from budgetctl.analysis.results_file import read_results  # noqa: PLC0415

    return read_results(results) if results is not None else _measured(find_store(store))


def _measured(folder: Path) -> Sequence[Observation]:
    """What the plans of a store have measured so far; nothing where there is no store."""
    from budgetctl.analysis.results_file import observations_of  # noqa: PLC0415
    from budgetctl.study.plan import Plan  # noqa: PLC0415
    from budgetctl.study.results import cell_results  # noqa: PLC0415
    from store import Store  # noqa: PLC0415

    if not (folder / "VERSION").exists():
        return []
    store = Store.open(folder)
    cells: dict[str | None, CellResult] = {}
    for identifier in store.plans():
        plan = Plan.from_document(store.load_plan(identifier))
        found = cell_results(plan, store, with_verdicts=False)
        cells.update({cell.key: cell for cell in found if cell.score is not None})
    return observations_of(_with_baselines(list(cells.values())))


def _with_baselines(cells: Sequence[CellResult]) -> list[CellResult]:
    """The same, with the untrained base's score in every method's group of its base and task."""
    trained = [cell for cell in cells if not cell.is_baseline]
    groups = {cell.group for cell in trained}
    baselines = [
        replace(cell, method=method)
        for cell in cells
        if cell.is_baseline
        for base, task, method in sorted(groups)
        if (base, task) == (cell.base, cell.task)
    ]
    return [*baselines, *trained]


def _sentences(found: Sequence[Recommendation]) -> str:
    lines = []
    for advice in found:
        where = " · ".join(name for name in (advice.base, advice.task) if name) or "no results yet"
        split = f"{advice.split.n_sft} SFT rows and {advice.split.n_pft} preference pairs"
        lines.append(f"{where}: {advice.sft_ratio:.0%} of {advice.budget:g} to SFT: {split}")
        if advice.expected is not None:
            interval = f"90 % interval {advice.low:.3f} to {advice.high:.3f}"
            lines.append(f"  expected score {advice.expected:.3f}, {interval}")
        if advice.alternatives:
            others = ", ".join(f"{share:.0%}" for share in advice.alternatives)
            lines.append(f"  cannot be told apart from it: {others}")
        lines.append(f"  {advice.basis}")
    return "\n".join(lines)
