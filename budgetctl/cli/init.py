"""`budgetctl init`: ask what the study is about and write its recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

RECIPE = """\
# {name}: how should {task} spend its budget on {base}?
name: {name}
base: {base}
task: {task}
method: {method}
budgets: [{budgets}]            # annotated rows in all (or money, with other prices below)
shares: [{shares}]              # part of each budget that goes to SFT; the rest buys preference pairs
seeds: [0, 1, 2]                # training and row selection; at least 3 tell a difference from noise
cost: {{sft: 1, pft: 1, currency: examples}}
data:
{path}  overlap: disjoint            # no prompt on both sides of one cell
sft: {{}}                         # settings as in `budgetctl sft --help`, for example {{epochs: 2}}
pft: {{}}
eval: {{split: test, decoding: greedy}}
"""

FIT = (
    "  max_tokens: fit              # rows that are too long for the trainings are left out before the cut\n"
)


def init(
    file: Annotated[Path, typer.Argument(help="Where to write the recipe.")] = Path("recipe.yaml"),
    task: Annotated[str | None, typer.Option(help="arith or gsm8k.", show_default=False)] = None,
    data_path: Annotated[
        str | None,
        typer.Option("--path", help="Folder of the task's files; empty for arith.", show_default=False),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="A name, a folder or a hub id.", show_default=False)
    ] = None,
    method: Annotated[str | None, typer.Option(help="dpo, kto, …", show_default=False)] = None,
    budgets: Annotated[str | None, typer.Option(help="Comma-separated budgets.", show_default=False)] = None,
    shares: Annotated[
        str | None, typer.Option(help="Comma-separated SFT shares.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a recipe from a few answers; what is not given as an option is asked for.

    Example: budgetctl init study.yaml --task arith --base tiny --method dpo
    """
    import yaml  # noqa: PLC0415

    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.recipe import parse_recipe  # noqa: PLC0415

    if file.exists() and not force:
        raise UsageError(f"{file} exists; name another file or pass --force")
    task = task or _ask("Task (arith, gsm8k)", "arith")
    if data_path is None:
        data_path = "" if task == "arith" else _ask("Folder with the task's files", f"{task}/")
    text = RECIPE.format(
        name=file.stem,
        task=task,
        base=base or _ask("Base model (a name such as tiny or llama3-1B, a folder, or a hub id)", "tiny"),
        method=method or _ask("Preference method (dpo, kto)", "dpo"),
        budgets=budgets or _ask("Budgets", "100, 1000"),
        shares=shares or _ask("SFT shares", "1, 0.75, 0.5, 0.25, 0"),
        path=f"  path: {data_path}\n{FIT}" if data_path else "" if task == "arith" else FIT,
    )
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"these answers make no valid recipe: {error}") from error
    parse_recipe(content, str(file))
    file.write_text(text, encoding="utf-8")
    print(f"next: budgetctl run --grid {file}", file=sys.stderr)
    print(file)


def _ask(question: str, default: str) -> str:
    if not sys.stdin.isatty():
        return default
    answer: str = typer.prompt(question, default=default, err=True)
    return answer
