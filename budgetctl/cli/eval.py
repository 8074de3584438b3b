"""`budgetctl eval`: score stored generations."""

from __future__ import annotations

from typing import Annotated

import typer

from budgetctl.cli.common import StealOption, StoreOption, open_store, run_stage


def evaluate(
    gen: Annotated[str, typer.Argument(help="Key of generations, from `budgetctl gen`.")],
    store: StoreOption = None,
    steal: StealOption = False,
) -> None:
    """Score generations against their references and print the key; the figures go to stderr.

    Example: budgetctl eval $(budgetctl gen $P --split test)
    """
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.requests import eval_stage  # noqa: PLC0415

    opened = open_store(store)
    run_stage(eval_stage(opened.artifact(opened.resolve(gen)), opened), opened, Execution(), steal)
