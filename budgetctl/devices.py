"""The names of devices that every command with `--device` takes. No torch."""

from __future__ import annotations

import re

from budgetctl.errors import UsageError

_NAMES = re.compile(r"auto|cpu|cuda|cuda:(?:0|[1-9][0-9]{0,3})")


def checked_device(name: str) -> str:
    """Return the name of a device as it is.

    Raises:
        UsageError: No device has such a name.
    """
    if _NAMES.fullmatch(name) is None:
        raise UsageError(
            f"there is no device {name!r}; --device takes auto, cpu, cuda or cuda:N, such as cuda:1"
        )
    return name
