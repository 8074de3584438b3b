"""A study's page in one call: tables, advice, lineage and versions from its cells and its store."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from budgetctl.analysis.allocation import AllocationModel
from budgetctl.analysis.cells import CellResult
from budgetctl.analysis.lineage import lineage_of
from budgetctl.analysis.page.content import PageContent
from budgetctl.analysis.recommend import Recommendation, recommend
from budgetctl.analysis.results_file import observations_of
from budgetctl.analysis.table import RowAxis, build_tables
from budgetctl.study.budget import Prices
from store import Store

QUESTION = "How should the budget be split between supervised and preference finetuning?"
PROGRAMS = ("budgetctl", "torch", "transformers", "trl", "peft", "vllm", "unsloth")


def study_content(
    cells: Sequence[CellResult],
    store: Store,
    *,
    title: str,
    commands: Sequence[str] = (),
    prices: Prices | None = None,
    by: RowAxis = "budget",
) -> PageContent:
    """What the page of a study shows.

    Args:
        cells: the study's cells, finished or not.
        store: where the stages behind them are.
        title: of the page, e.g. the recipe's name.
        commands: what was typed to make it.
        prices: of the rows, when budgets are money.
        by: what the tables' rows are.
    """
    tables = build_tables(cells, by=by)
    keys = [cell.key for cell in cells if cell.key and cell.score is not None]
    return PageContent(
        title=title,
        question=QUESTION,
        tables=tables,
        recommendations=advice_at_largest(cells, prices),
        lineage=lineage_of(store, keys),
        commands=commands,
        versions=installed_versions(PROGRAMS),
    )


def advice_at_largest(cells: Sequence[CellResult], prices: Prices | None = None) -> list[Recommendation]:
    """Advice at the largest budget of each base, task and method with finished cells.

    Without any pair of finished cells to compare there is no advice, only the table.
    """
    observations = observations_of(cells)
    places = {(one.base, one.task, one.method, one.budget, one.sft_share) for one in observations}
    if len(places) < 2:
        return []
    model = AllocationModel.fit(observations)
    found: list[Recommendation] = []
    for budget in sorted({one.budget for one in observations}, reverse=True):
        known = {(advice.base, advice.task, advice.method) for advice in found}
        open_groups = {
            (one.base, one.task, one.method)
            for one in observations
            if one.budget == budget and budget > 0 and (one.base, one.task, one.method) not in known
        }
        if open_groups:
            advice = recommend(observations, budget, prices=prices, model=model)
            found += [one for one in advice if (one.base, one.task, one.method) in open_groups]
    return found


def installed_versions(programs: Sequence[str]) -> dict[str, str]:
    """Versions of those programs that are installed."""
    found = {}
    for program in programs:
        try:
            found[program] = version(program)
        except PackageNotFoundError:
            continue
    return found
