"""The command tree."""

from __future__ import annotations

from typing import Annotated

import typer

from budgetctl.cli import base, data, eval, gen, pft, plan, report, run, sft, store, worker

app = typer.Typer(
    name="budgetctl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "BUDGETCTL", "help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        print(version("budgetctl"))
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """How much of a data budget should go to SFT and how much to preference finetuning?

    Each command prints its answer on stdout and talks to you on stderr.

    Example: budgetctl run --grid recipes/quickstart.yaml
    """


STUDY, STAGE, STORE = "Studies", "Stages", "Store"

app.command("run", rich_help_panel=STUDY)(run.run)
app.command("plan", rich_help_panel=STUDY)(plan.plan)
app.command("report", rich_help_panel=STUDY)(report.report)
app.command("worker", rich_help_panel=STUDY)(worker.worker)
app.command("base", rich_help_panel=STAGE)(base.base)
app.command("data", rich_help_panel=STAGE)(data.data)
app.command("sft", rich_help_panel=STAGE)(sft.sft)
app.command("pft", rich_help_panel=STAGE)(pft.pft)
app.command("gen", rich_help_panel=STAGE)(gen.gen)
app.command("eval", rich_help_panel=STAGE)(eval.evaluate)
app.add_typer(store.app, name="store", rich_help_panel=STORE)
