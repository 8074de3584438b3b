"""Which options were typed, to refuse those that would do nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer


def typed(context: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line; environment variables may hold for many commands at once."""
    source: Any = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_useless(context: typer.Context, useless: Collection[str], why: str) -> None:
    """Refuse options that do nothing beside the others.

    Args:
        context: Of the command.
        useless: Names of its parameters.
        why: What the sentence says last.

    Raises:
        UsageError: Some of them are typed.
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    found = [name for name in useless if typed(context, name)]
    if found:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in found)
        raise UsageError(f"there is no use for {options} here: {why}")
