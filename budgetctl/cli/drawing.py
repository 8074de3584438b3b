"""Pictures asked for on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from budgetctl.errors import UsageError

P = ParamSpec("P")


def drawn(draw: Callable[P, Path], *given: P.args, **named: P.kwargs) -> Path:
    """Draw, and tell in a sentence why there is nothing to draw or the file's ending is unknown.

    Raises:
        UsageError: It cannot be drawn.
    """
    try:
        return draw(*given, **named)
    except ValueError as error:
        raise UsageError(str(error)) from error
