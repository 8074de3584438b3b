"""The study that a report is about: how it is named on the command line, and the commands that name it so."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import recipe_from

if TYPE_CHECKING:
    from budgetctl.study.plan import Plan
    from store import Store

GridOption = Annotated[Path | None, typer.Option("--grid", help="The recipe.", show_default=False)]
PlanIdOption = Annotated[
    str | None, typer.Option("--plan", help="Or the id of a stored plan.", show_default=False)
]
PageOption = Annotated[
    Path | None, typer.Option("--html", help="Also write a self-contained page.", show_default=False)
]


@dataclass(frozen=True)
class ReportedStudy:
    """A recipe with what was changed in it, or the id of a stored plan."""

    grid: Path | None
    plan_id: str | None
    settings: list[str] | None = None
    thresholds: str | None = None

    def plan(self, store: Store) -> Plan:
        """Its plan, with every branch that is known by now."""
        if self.grid is not None:
            from budgetctl.study.build import plan_study  # noqa: PLC0415

            return plan_study(recipe_from(self.grid, self.settings, self.thresholds), store, check=False)
        from budgetctl.study.branches import grown_in  # noqa: PLC0415
        from budgetctl.study.plan import Plan  # noqa: PLC0415

        assert self.plan_id is not None
        return grown_in(Plan.from_document(store.load_plan(self.plan_id)), store)

    def commands(self, report: str) -> list[str]:
        """The commands that run and report it; how a stored plan was run is not known."""
        if self.grid is None:
            return [shlex.join(["budgetctl", *report.split(), "--plan", str(self.plan_id)])]
        named = ["--grid", str(self.grid)]
        named += [word for one in self.settings or () for word in ("--set", one)]
        changed = ["--thresholds", self.thresholds] if self.thresholds is not None else []
        return [shlex.join(["budgetctl", *verb.split(), *named, *changed]) for verb in ("run", report)]
