"""The command tree."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from budgetctl.cli import (
    base,
    data_group,
    eval,
    export,
    fork,
    gen,
    init,
    pft,
    plan,
    recommend,
    remotes,
    report,
    run,
    sft,
    space,
    status,
    store,
    worker,
)
from budgetctl.errors import ClosedPipeError, StoppedByUserError


class Commands(TyperGroup):
    """The commands, with Ctrl-C and a closed pipe turned into errors of our own before Typer ends the process."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command.

        Raises:
            StoppedByUserError: Ctrl-C.
            ClosedPipeError: The reader of stdout is gone.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise StoppedByUserError("interrupted; run the same command again to continue") from error
        except BrokenPipeError as error:
            raise ClosedPipeError("the reader of this output is gone") from error


app = typer.Typer(
    name="budgetctl",
    cls=Commands,
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

app.command("init", rich_help_panel=STUDY)(init.init)
app.command("run", rich_help_panel=STUDY)(run.run)
app.command("plan", rich_help_panel=STUDY)(plan.plan)
app.add_typer(report.app, name="report", rich_help_panel=STUDY)
app.add_typer(recommend.app, name="recommend", rich_help_panel=STUDY)
app.command("status", rich_help_panel=STUDY)(status.status)
app.command("worker", rich_help_panel=STUDY)(worker.worker)
app.command("base", rich_help_panel=STAGE)(base.base)
app.add_typer(data_group.app, name="data", rich_help_panel=STAGE)
app.command("sft", rich_help_panel=STAGE)(sft.sft)
app.command("fork", rich_help_panel=STAGE)(fork.fork)
app.command("pft", rich_help_panel=STAGE)(pft.pft)
app.command("gen", rich_help_panel=STAGE)(gen.gen)
app.command("export", rich_help_panel=STAGE)(export.export)
app.add_typer(eval.app, name="eval", rich_help_panel=STAGE)

artifacts = typer.Typer(
    help="Look after the artifacts: list, show, check, collect, share.", no_args_is_help=True
)
app.add_typer(artifacts, name="store", rich_help_panel=STORE)
artifacts.command("ls")(store.list_artifacts)
artifacts.command("show")(store.show)
artifacts.command("diff")(store.diff)
artifacts.command("leases")(store.leases)
artifacts.command("verify")(store.verify)
artifacts.command("repair")(store.repair)
artifacts.command("reindex")(store.reindex)
artifacts.command("gc")(space.gc)
artifacts.command("demote")(space.demote)
artifacts.command("pin")(space.pin)
artifacts.command("unpin")(space.unpin)
artifacts.command("plans")(space.plans)
artifacts.command("forget")(space.forget)
artifacts.command("push")(remotes.push)
artifacts.command("pull")(remotes.pull)
artifacts.command("sync")(remotes.sync)
