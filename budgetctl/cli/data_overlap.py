"""`budgetctl data overlap`: which prompts the sides of a task share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from budgetctl.cli.common import JsonOption, OfflineOption, SetOption, StoreOption, open_store, settings_from


def overlap(
    task: Annotated[str, typer.Argument(help="The task: arith, gsm8k, …")],
    path: Annotated[
        Path | None,
        typer.Option(help="Where the task's files lie, for tasks read from files.", show_default=False),
    ] = None,
    json_: JsonOption = False,
    settings: SetOption = None,
    store: StoreOption = None,
    offline: OfflineOption = False,
) -> None:
    """Print how many prompts each two of a task's SFT, preference, unpaired, dev and test rows have in common.

    All usable rows of the sources are compared, before dev and test prompts are kept out of training and before any
    budget is cut: normalised (blanks, case, Unicode forms) and, in brackets, word for word.

    Example: budgetctl data overlap gsm8k --path gsm8k/
    """
    import json  # noqa: PLC0415

    from budgetctl.data.hub_fetch import FrozenRevisions  # noqa: PLC0415
    from budgetctl.data.overlap import source_matrix, to_table  # noqa: PLC0415
    from budgetctl.data.supply import supply_of  # noqa: PLC0415

    revisions = FrozenRevisions(open_store(store).root)
    supply = supply_of(task, path, settings_from(settings), revisions)
    counts = source_matrix(supply, revisions, offline)
    print(json.dumps(counts) if json_ else to_table(counts))
