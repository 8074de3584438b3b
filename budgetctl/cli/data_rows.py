"""`budgetctl data TASK`: the rows of one budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from budgetctl.cli.common import (
    OfflineOption,
    SetOption,
    StealOption,
    StoreOption,
    open_store,
    run_stage,
    settings_from,
)
from budgetctl.cli.given import refuse_useless


def rows(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="The task: arith, gsm8k, …")],
    kind: Annotated[
        Literal["sft", "pref", "unpaired", "eval"],
        typer.Option(help="Demonstrations, pairs, single judged answers, or evaluation prompts."),
    ] = "sft",
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows (pairs for unpaired); evaluation takes all by default.", show_default=False
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Instead of --size, with --base: as many rows as this many tokens pay for.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Which evaluation rows.")] = "test",
    seed: Annotated[int, typer.Option(help="Of the ranking that decides which rows a budget buys.")] = 0,
    path: Annotated[
        Path | None,
        typer.Option(help="Where the task's files lie, for tasks read from files.", show_default=False),
    ] = None,
    overlap: Annotated[
        Literal["shared", "disjoint"],
        typer.Option(help="disjoint: pairs keep apart from the SFT rows of the same seed."),
    ] = "shared",
    n_sft: Annotated[
        int, typer.Option(min=0, help="With --overlap disjoint: SFT rows to keep apart from.")
    ] = 0,
    system_prompt: Annotated[
        str | None,
        typer.Option(help="Instead of the task's own system prompt; '' for none.", show_default=False),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Count tokens as this base reads them (key, name, folder).", show_default=False),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="With --base: leave longer rows out before cutting.", show_default=False),
    ] = None,
    settings: SetOption = None,
    store: StoreOption = None,
    offline: OfflineOption = False,
    steal: StealOption = False,
) -> None:
    """Prepare rows and print their key. A larger size contains the smaller ones of the same seed.

    `data TASK` is short for `data rows TASK`.

    Example: budgetctl data rows gsm8k --path gsm8k/ --kind sft --size 500
    """
    from budgetctl.data.amount import Tokens  # noqa: PLC0415
    from budgetctl.data.hub_fetch import FrozenRevisions  # noqa: PLC0415
    from budgetctl.data.requests import (  # noqa: PLC0415
        Lengths,
        eval_data,
        preference_data,
        sft_data,
        supply_of,
    )
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.stages.stage import Execution  # noqa: PLC0415

    _refuse_useless(context, kind, overlap)
    opened = open_store(store)
    supply = supply_of(task, path, settings_from(settings), FrozenRevisions(opened.root))
    execution = Execution(sources=supply.located, offline=offline)
    lengths = None
    if base is not None:
        from budgetctl.study.bases import find_base  # noqa: PLC0415

        reader = find_base(base, opened, execution)
        lengths = Lengths(reader.key, reader.template, max_tokens)
    elif max_tokens is not None:
        raise UsageError("--max-tokens needs --base: whose tokenizer counts?")
    if tokens is not None and (size is not None or lengths is None):
        raise UsageError("--tokens needs --base (whose tokenizer counts?), and replaces --size")
    bought = size if tokens is None else Tokens(tokens)
    if kind == "eval":
        stage = eval_data(supply, split, size, system_prompt)
    elif bought is None:
        raise UsageError(f"--kind {kind} needs --size: how many rows does the budget buy?")
    elif kind == "sft":
        stage = sft_data(supply, bought, seed, system_prompt, lengths)
    else:
        stage = preference_data(
            supply,
            bought,
            seed,
            kind=kind,
            overlap=overlap,
            n_sft=n_sft,
            system_prompt=system_prompt,
            lengths=lengths,
        )
    run_stage(stage, opened, execution, steal)


def _refuse_useless(context: typer.Context, kind: str, overlap: str) -> None:
    """Refuse options that do nothing for this kind of rows."""
    if kind == "eval":
        useless = ("seed", "tokens", "base", "max_tokens", "overlap", "n_sft")
        refuse_useless(context, useless, "--kind eval prepares the same prompts for every cell")
        return
    refuse_useless(context, ("split",), "training rows come from the train split; --kind eval chooses")
    if kind == "sft":
        refuse_useless(context, ("overlap", "n_sft"), "it is pairs that keep apart from SFT rows")
    elif overlap == "shared":
        refuse_useless(context, ("n_sft",), "pairs keep apart from SFT rows with --overlap disjoint")
