"""`budgetctl data refresh`: look the branches of hub datasets up anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from budgetctl.cli.common import SetOption, StoreOption, open_store, settings_from


def refresh(
    task: Annotated[
        str | None,
        typer.Argument(help="The task whose own datasets are meant: gsm8k, tuluif, …", show_default=False),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            "--grid",
            help="Instead of a task: a recipe, for every dataset it reads.",
            show_default=False,
        ),
    ] = None,
    settings: SetOption = None,
    store: StoreOption = None,
) -> None:
    """Let the next fetch take the newest commit of each hub dataset of a task or recipe; print the datasets' names.

    A store keeps the commit that a branch stood for when it was first fetched, and the content of a copy that was
    used in the hub's place. Rows made before keep theirs; plans made from now on name a new epoch of the branch, so
    their rows have other keys. Datasets that are pinned to a commit stay.

    Example: budgetctl data refresh gsm8k
    """
    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.data.hub_fetch import FrozenRevisions  # noqa: PLC0415
    from budgetctl.data.supply import refresh as move_on  # noqa: PLC0415
    from budgetctl.data.supply import supply_of  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.recipe import load_recipe  # noqa: PLC0415

    if (task is None) == (grid is None):
        raise UsageError("say whose datasets are meant: a task such as gsm8k, or a recipe with --grid")
    revisions = FrozenRevisions(open_store(store).root)
    if grid is not None:
        recipe = load_recipe(grid, settings_from(settings))
        supplies = list(recipe.data.supplies(recipe.tasks, revisions).values())
    else:
        supplies = [supply_of(str(task), None, settings_from(settings))]
    moved = move_on(supplies, revisions)
    if not moved:
        raise UsageError(
            f"{task or grid} reads nothing from a hub by a branch, so there is nothing to refresh"
        )
    for repository in moved:
        print(repository)
    make_reporter().say(f"the next fetch looks {len(moved)} datasets up anew")
