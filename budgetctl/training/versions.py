"""The versions of the training libraries this code was tested with."""

from __future__ import annotations

from importlib.metadata import version

from budgetctl.errors import BudgetctlError

TESTED = {
    "torch": ((2, 11), (2, 14)),
    "transformers": ((5, 17), (5, 20)),
    "trl": ((1, 15), (1, 17)),
    "peft": ((0, 20), (0, 22)),
}
"""Package → first tested version, first untested one. pyproject.toml asks for the same."""
UNSLOTH = {**TESTED, "trl": ((1, 15), (1, 16)), "unsloth": ((2026, 10), (2026, 11))}
"""The same in unsloth's own process; unsloth admits no newer TRL."""


def check_versions(backend: str = "trl", installed: dict[str, str] | None = None) -> None:
    """Refuse versions nobody tried, before a training rather than in the middle of one.

    Args:
        backend: `trl` or `unsloth`.
        installed: Package → version; None asks the environment.

    Raises:
        BudgetctlError: A package is older or newer than the tested range.
    """
    for package, (first, beyond) in (UNSLOTH if backend == "unsloth" else TESTED).items():
        found = installed[package] if installed else version(package)
        numbers = tuple(int(part) for part in found.split("+")[0].split(".")[:2])
        if not first <= numbers < beyond:
            low, high = (".".join(map(str, bound)) for bound in (first, beyond))
            raise BudgetctlError(
                f"{package} {found} is installed; training was tested with {low} up to, not including, {high}. Install "
                f"it with: pip install '{package}>={low},<{high}'"
            )
