"""`budgetctl store gc | demote | pin | unpin`: what stays and what goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import StoreOption, open_store
from budgetctl.cli.store import human_size, resolve_all

if TYPE_CHECKING:
    from store.collect import Collection

DAY_S = 86_400.0

FIRST_TO_GO = {"trunk": ["at/*/state/*", "answers.parquet"], "gen": ["generations.parquet"]}
"""Stage → the files that weigh most beside what they still serve for: scores and checkpoints stay."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]


def gc(
    grace_days: Annotated[
        float, typer.Option("--grace", min=0, help="Days for which nothing is touched.")
    ] = 7.0,
    dry_run: DryRun = False,
    store: StoreOption = None,
) -> None:
    """Remove what no plan and no pin leads to, once it is older than the grace period.

    Example: budgetctl store gc --dry-run
    """
    from store.collect import collect  # noqa: PLC0415

    opened = open_store(store, create=False)
    _tell(collect(opened.layout, opened.roots(), grace_days * DAY_S, dry_run), dry_run)


def demote(
    keys: Annotated[list[str], typer.Argument(help="Keys or unique prefixes.")],
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files",
            help="Name patterns of the files to drop; repeatable. Default: optimizer states and sampled answers.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    store: StoreOption = None,
) -> None:
    """Drop files of artifacts whose record stays; `store pull` brings them back from a remote.

    Example: budgetctl store demote 3f9a --dry-run
    """
    from store.collect import demote as drop  # noqa: PLC0415

    opened = open_store(store, create=False)
    patterns = {"*": files} if files else FIRST_TO_GO
    _tell(drop(opened.layout, resolve_all(opened, keys), patterns, dry_run), dry_run)


def pin(
    name: Annotated[str, typer.Argument(help="A name for what is kept.")],
    keys: Annotated[list[str], typer.Argument(help="Keys or unique prefixes.")],
    store: StoreOption = None,
) -> None:
    """Keep artifacts and all they come from, whatever is collected.

    Example: budgetctl store pin best 3f9a
    """
    opened = open_store(store, create=False)
    opened.pin(name, resolve_all(opened, keys))


def unpin(name: Annotated[str, typer.Argument(help="A pin's name.")], store: StoreOption = None) -> None:
    """Remove a pin.

    Example: budgetctl store unpin best
    """
    open_store(store, create=False).unpin(name)


def plans(store: StoreOption = None) -> None:
    """List stored plans and pins: what collection starts from.

    Example: budgetctl store plans
    """
    opened = open_store(store, create=False)
    for identifier in opened.plans():
        plan = opened.load_plan(identifier)
        print(f"{identifier[:12]}  plan  {plan.get('name', '')}  {len(plan.get('cells', []))} cells")
    for name, keys in opened.pins().items():
        print(f"{name}  pin  {len(keys)} artifacts")


def forget(
    identifiers: Annotated[list[str], typer.Argument(help="Ids of plans, or the beginnings of them.")],
    store: StoreOption = None,
) -> None:
    """Forget stored plans, so that `store gc` may remove what only they wanted; no artifact is touched now.

    Example: budgetctl store forget 3f9a
    """
    opened = open_store(store, create=False)
    for identifier in identifiers:
        opened.forget_plan(identifier)


def _tell(collection: Collection, dry_run: bool) -> None:
    for item in collection.items:
        age = f"{item.age / DAY_S:.1f} days old"
        print(f"{item.name[:12]}  {item.stage or item.kind:<8}  {human_size(item.bytes):>9}  {age}")
    for stage, (count, size) in collection.by_stage().items():
        print(f"{stage}: {count}, {human_size(size)}", file=sys.stderr)
    print(f"{human_size(collection.freed)} {'would be ' if dry_run else ''}freed", file=sys.stderr)
