"""`budgetctl export`: a checkpoint as files that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from budgetctl.cli.common import StoreOption, open_store


def export(
    key: Annotated[str, typer.Argument(help="A checkpoint or a base: its key or a unique prefix.")],
    to: Annotated[Path, typer.Option("--to", help="A new or empty folder.")],
    merged: Annotated[
        bool, typer.Option("--merged/--adapter", help="A plain 16-bit model, or the LoRA adapter alone.")
    ] = True,
    store: StoreOption = None,
) -> None:
    """Write what Transformers, PEFT and vLLM load, with a model card that tells where it came from.

    Example: budgetctl export 3f9a --to my-model --merged
    """
    from budgetctl.models.export import export as write  # noqa: PLC0415

    opened = open_store(store, create=False)
    print(write(opened, opened.resolve(key), to, "merged" if merged else "adapter"))
