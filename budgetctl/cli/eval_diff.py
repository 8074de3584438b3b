"""`budgetctl eval diff`: two models against each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import JsonOption, StoreOption, finished, open_store

if TYPE_CHECKING:
    from store import Artifact


def diff(
    left: Annotated[
        str, typer.Argument(help="Key of an evaluation, a perplexity, generations or a checkpoint.")
    ],
    right: Annotated[str, typer.Argument(help="Another one of the same rows.")],
    unpaired: Annotated[
        bool,
        typer.Option(
            "--unpaired", help="Also compare evaluations of different prompts, as independent samples."
        ),
    ] = False,
    store: StoreOption = None,
    json_: JsonOption = False,
) -> None:
    """Compare two models on the same prompts: McNemar's test, a bootstrap over prompts, and a verdict.

    Generations are scored first. A checkpoint stands for its evaluation (or, beside a perplexity, for its perplexity)
    on the rows, and with the decoding, that both sides were measured on.

    Example: budgetctl eval diff $S $P
    """
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.evaluations import comparable, compared_perplexities  # noqa: PLC0415
    from budgetctl.study.requests import eval_stage  # noqa: PLC0415

    opened = open_store(store, create=False)

    def score(generations: Artifact) -> Artifact:
        return finished(eval_stage(generations, opened), opened, Execution())

    first, second = comparable(left, right, opened, score, unpaired)
    if first.stage == "perplexity":
        ratio = compared_perplexities(first, second)
        print(json.dumps(ratio.as_json()) if json_ else ratio.as_text(), end="\n" if json_ else "")
        return
    from budgetctl.cli.report_parts import print_comparison  # noqa: PLC0415

    print_comparison(first, second, json_)
