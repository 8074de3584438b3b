"""`budgetctl base`: bring a base model into the store."""

from __future__ import annotations

from typing import Annotated

import typer

from budgetctl.cli.common import (
    OfflineOption,
    SetOption,
    StealOption,
    StoreOption,
    ThreadsOption,
    open_store,
    run_stage,
)


def base(
    model: Annotated[
        str, typer.Argument(help="A name (tiny, llama3-1B, …), a Transformers folder, or a hub id.")
    ],
    settings: SetOption = None,
    store: StoreOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    steal: StealOption = False,
) -> None:
    """Make a base model available under a key: pretrain `tiny`, copy a folder, or fetch from the hub.

    Example: budgetctl base tiny
    """
    from budgetctl.cli.common import settings_from  # noqa: PLC0415
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.bases import base_request  # noqa: PLC0415

    opened = open_store(store)
    request = base_request(model, opened, settings_from(settings))
    execution = Execution(threads=threads, offline=offline, sources=request.located)
    run_stage(request.stage, opened, execution, steal)
