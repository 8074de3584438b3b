"""`budgetctl data refresh`: look the branches of hub datasets up anew."""

from __future__ import annotations

from typing import Annotated

import typer

from budgetctl.cli.common import SetOption, StoreOption, open_store, settings_from


def refresh(
    task: Annotated[str, typer.Argument(help="The task whose datasets are meant: gsm8k, tuluif, …")],
    settings: SetOption = None,
    store: StoreOption = None,
) -> None:
    """Let the next fetch take the newest commit of each hub dataset of a task, and print the datasets' names.

    A store keeps the commit that a branch stood for when it was first fetched. Rows made before keep theirs; plans
    made from now on name a new epoch of the branch, so their rows have other keys.

    Example: budgetctl data refresh gsm8k
    """
    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.data.hub_fetch import FrozenRevisions  # noqa: PLC0415
    from budgetctl.data.supply import refresh as move_on  # noqa: PLC0415
    from budgetctl.data.supply import supply_of  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415

    moved = move_on(supply_of(task, None, settings_from(settings)), FrozenRevisions(open_store(store).root))
    if not moved:
        raise UsageError(f"{task} reads nothing from a hub by a branch, so there is nothing to refresh")
    for repository in moved:
        print(repository)
    make_reporter().say(f"the next fetch looks {len(moved)} datasets up anew")
