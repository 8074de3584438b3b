"""`budgetctl data`: rows of a task, what a study's cells buy, and rows from a model's own answers."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from budgetctl.cli import data_overlap, data_pairs, data_plan, data_refresh, data_rows

DEFAULT = "rows"


class TaskOrCommand(TyperGroup):
    """`data gsm8k …` is `data rows gsm8k …`: a first word that is no command of ours is a task."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command in front of a task or of its options."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return list(super().parse_args(ctx, args))


class Rows(TyperCommand):
    """Its options' variables are named as the command is commonly written: `BUDGETCTL_DATA_SIZE`."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Take over the group's prefix of environment variables."""
        prefix = {} if parent is None else {"auto_envvar_prefix": parent.auto_envvar_prefix}
        return super().make_context(info_name, args, parent, **prefix, **extra)


app = typer.Typer(
    cls=TaskOrCommand,
    no_args_is_help=True,
    help="Rows: `budgetctl data TASK …` prepares a budget's rows (short for `data rows TASK …`).",
)
app.command(DEFAULT, cls=Rows)(data_rows.rows)
app.command("plan")(data_plan.plan)
app.command("pairs")(data_pairs.pairs)
app.command("overlap")(data_overlap.overlap)
app.command("refresh")(data_refresh.refresh)
