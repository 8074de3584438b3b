"""`budgetctl status`: how the run of a plan is going."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import JsonOption, StoreOption, open_store

if TYPE_CHECKING:
    from budgetctl.study.status import StatusReader
    from store import Store


def status(
    plan_id: Annotated[
        str | None,
        typer.Option(
            "--plan", help="Id of a stored plan; without it the one stored last.", show_default=False
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until nothing remains to be done.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")] = 3.0,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Show cells done, running stages with their progress, failures, and time and money used and left.

    With --watch it ends with the plan, with exit code 1 if stages failed.

    Example: budgetctl status --watch
    """
    import json  # noqa: PLC0415

    from budgetctl.study.status import to_document, to_text  # noqa: PLC0415

    opened = open_store(store, create=False)
    reader = _reader(opened, plan_id)
    if not watch:
        seen = reader.look()
        print(json.dumps(to_document(seen)) if json_ else to_text(seen))
        return
    failed = (
        _watch_terminal(reader, every)
        if sys.stdout.isatty() and not json_
        else _watch_lines(reader, every, json_)
    )
    if failed:
        raise typer.Exit(1)


def _reader(opened: Store, plan_id: str | None) -> StatusReader:
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.estimate import estimate_plan  # noqa: PLC0415
    from budgetctl.study.plan import Plan  # noqa: PLC0415
    from budgetctl.study.status import StatusReader  # noqa: PLC0415

    if plan_id is None:
        stored = {name: opened.layout.plan(name).stat().st_mtime for name in opened.plans()}
        if not stored:
            raise UsageError(f"{opened.root} holds no plan; `budgetctl plan --grid RECIPE` makes one")
        plan_id = max(stored, key=lambda name: stored[name])
    full = next((name for name in opened.plans() if name.startswith(plan_id)), plan_id)
    plan = Plan.from_document(opened.load_plan(plan_id))
    return StatusReader(plan, full, opened, estimate_plan(plan, opened))


def _watch_lines(reader: StatusReader, every: float, json_: bool) -> bool:
    """Print the status whenever it changed; returns whether stages failed."""
    import json  # noqa: PLC0415
    import time  # noqa: PLC0415

    from budgetctl.study.status import to_document, to_text  # noqa: PLC0415

    before: object = None
    while True:
        seen = reader.look()
        marks = (seen.cells, seen.stages, [(s.key, s.progress and s.progress.done) for s in seen.running])
        if marks != before:
            print(json.dumps(to_document(seen)) if json_ else to_text(seen) + "\n", flush=True)
            before = marks
        if seen.finished:
            return bool(seen.failed)
        time.sleep(every)


def _watch_terminal(reader: StatusReader, every: float) -> bool:
    """Keep one view up to date on a terminal; returns whether stages failed."""
    import time  # noqa: PLC0415

    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from budgetctl.study.status import to_text  # noqa: PLC0415

    with Live(auto_refresh=False) as view:
        while True:
            seen = reader.look()
            view.update(Text(to_text(seen)), refresh=True)
            if seen.finished:
                return bool(seen.failed)
            time.sleep(every)
