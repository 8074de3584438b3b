"""`budgetctl recommend`: how to split a budget, from the results there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import JsonOption, StoreOption, find_store

if TYPE_CHECKING:
    from budgetctl.analysis.recommend import Recommendation
    from budgetctl.analysis.results_file import Observation


def recommend(
    budget: Annotated[float, typer.Option(help="What there is to spend: rows, or money with prices.")],
    results: Annotated[
        Path | None,
        typer.Option(
            help="A CSV base,task,budget,sft_ratio,score[,n,seed]; else the store's plans.",
            show_default=False,
        ),
    ] = None,
    sft_cost: Annotated[float, typer.Option(help="Price of one demonstration.")] = 1.0,
    pft_cost: Annotated[float, typer.Option(help="Price of one preference pair.")] = 1.0,
    task: Annotated[str | None, typer.Option(help="Only this task.", show_default=False)] = None,
    base: Annotated[str | None, typer.Option(help="Only this base model.", show_default=False)] = None,
    shares: Annotated[
        str | None,
        typer.Option(
            help="SFT shares to choose from, comma-separated; else the measured ones.", show_default=False
        ),
    ] = None,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Say which share of a budget should go to SFT, what score to expect, and how sure that is.

    Example: budgetctl recommend --budget 5000 --sft-cost 4 --pft-cost 1 --results results.csv
    """
    from budgetctl.analysis.recommend import recommend as advise  # noqa: PLC0415
    from budgetctl.analysis.results_file import read_results  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.budget import Prices, exact  # noqa: PLC0415

    try:
        menu = [float(share) for share in shares.split(",")] if shares else None
    except ValueError as error:
        raise UsageError(f"--shares takes numbers such as 1,0.5,0; got {shares!r}") from error
    observations = read_results(results) if results is not None else _measured(find_store(store))
    found = advise(
        observations,
        budget,
        prices=Prices(exact(sft_cost, "--sft-cost"), exact(pft_cost, "--pft-cost")),
        shares=menu,
        base=base,
        task=task,
    )
    print(json.dumps([advice.as_json() for advice in found], indent=1) if json_ else _sentences(found))


def _measured(folder: Path) -> Sequence[Observation]:
    """What the plans of a store have measured so far; nothing where there is no store."""
    from budgetctl.analysis.results_file import observations_of  # noqa: PLC0415
    from budgetctl.study.plan import Plan  # noqa: PLC0415
    from budgetctl.study.results import cell_results  # noqa: PLC0415
    from store import Store  # noqa: PLC0415

    if not (folder / "VERSION").exists():
        return []
    store = Store.open(folder)
    cells = {}
    for identifier in store.plans():
        plan = Plan.from_document(store.load_plan(identifier))
        scored = (cell for cell in cell_results(plan, store, with_verdicts=False) if cell.score is not None)
        cells.update({cell.key: cell for cell in scored})
    return observations_of(cells.values())


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
