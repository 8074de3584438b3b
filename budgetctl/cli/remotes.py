"""`budgetctl store push | pull | sync`: share artifacts through a folder, S3 or SSH."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import StoreOption, open_store
from budgetctl.cli.store import human_size

if TYPE_CHECKING:
    from store import Store
    from store.transfer import Transfer

Address = Annotated[str, typer.Argument(help="A folder, s3://bucket/prefix or ssh://host/folder.")]
Keys = Annotated[list[str] | None, typer.Argument(help="Keys or unique prefixes.", show_default=False)]
PlanId = Annotated[
    str | None, typer.Option("--plan", help="All results of a stored plan.", show_default=False)
]


def push(remote: Address, keys: Keys = None, plan: PlanId = None, store: StoreOption = None) -> None:
    """Copy artifacts and all they come from to a remote; only what it lacks.

    Example: budgetctl store push s3://bucket/store --plan 3f9a
    """
    from store import transfer  # noqa: PLC0415
    from store.remote import Remote  # noqa: PLC0415

    opened = open_store(store, create=False)
    wanted, plans = _wanted(opened, keys, plan)
    _tell("pushed", transfer.push(opened, Remote(remote), [k for k in wanted if opened.has(k)], plans))


def pull(
    remote: Address,
    keys: Annotated[list[str] | None, typer.Argument(help="Full keys.", show_default=False)] = None,
    plan: PlanId = None,
    store: StoreOption = None,
) -> None:
    """Copy artifacts and all they come from a remote, verified on arrival.

    Example: budgetctl store pull s3://bucket/store --plan 3f9a
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from store import transfer  # noqa: PLC0415
    from store.remote import Remote  # noqa: PLC0415

    opened, source = open_store(store), Remote(remote)
    wanted, plans = list(keys or []), []
    if plan is not None:
        plans = [identifier for identifier in source.plans() if identifier.startswith(plan)]
        if len(plans) != 1:
            raise UsageError(f"{len(plans)} plans on the remote start with {plan!r}; give the id of one")
        wanted += [key for key in source.plan(plans[0])["roots"] if source.has(key)]
    _tell("pulled", transfer.pull(opened, source, wanted or source.keys(), plans))


def sync(remote: Address, keys: Keys = None, plan: PlanId = None, store: StoreOption = None) -> None:
    """Bring the store and a remote to the union of what they have.

    Example: budgetctl store sync ../team-store
    """
    from store import transfer  # noqa: PLC0415
    from store.remote import Remote  # noqa: PLC0415

    opened, other = open_store(store), Remote(remote)
    wanted, plans = _wanted(opened, keys, plan)
    wanted = wanted if keys or plan else sorted({*wanted, *other.keys()})
    _tell("copied", transfer.sync(opened, other, [k for k in wanted if opened.has(k) or other.has(k)], plans))


def _wanted(store: Store, keys: list[str] | None, plan: str | None) -> tuple[list[str], list[str]]:
    """The keys and the plan ids that were asked for; everything when nothing was named."""
    if plan is not None:
        document = store.load_plan(plan)
        identifier = next(i for i in store.plans() if i.startswith(plan))
        return [*document["roots"], *(store.resolve(key) for key in keys or [])], [identifier]
    if keys:
        return [store.resolve(key) for key in keys], []
    return list(store.keys()), store.plans()


def _tell(done: str, transfer: Transfer) -> None:
    print(
        f"{done} {transfer.artifacts} artifacts, {transfer.files} files, {human_size(transfer.bytes)}; "
        f"{transfer.present} were there",
        file=sys.stderr,
    )
