"""Mirror a training's figures to an experiment tracker; one that fails never stops the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from budgetctl.console import Reporter
from budgetctl.errors import UsageError
from budgetctl.training.job import Track

TRACKERS = ("wandb", "trackio")
PROJECT = "budgetctl"


def require_tracker(name: str | None) -> None:
    """Refuse a tracker that cannot be used here.

    Raises:
        UsageError: There is no such tracker, or its package is not installed.
    """
    if name is not None and name not in TRACKERS:
        raise UsageError(f"There is no tracker '{name}'. Known: {', '.join(TRACKERS)}.")
    if name is not None and find_spec(name) is None:
        raise UsageError(f"Tracking with {name} needs its package: pip install 'budgetctl[track]'.")


@contextmanager
def tracker(
    name: str | None, run: str, config: Mapping[str, Any], reporter: Reporter, group: str | None = None
) -> Iterator[Track | None]:
    """Open a tracker's run and yield what takes each step's figures; None if there is none.

    W&B's own settings (`WANDB_MODE=offline`, `WANDB_DIR`, `WANDB_RUN_GROUP`, …) and trackio's (`TRACKIO_DIR`) hold.

    Args:
        name: `wandb`, `trackio` or None.
        run: Name of the run.
        config: What the run is: its key, parents, settings and place in the study.
        reporter: Is told once if the tracker fails.
        group: Name of the study that the run belongs to; None leaves it to the tracker's own settings.

    Raises:
        UsageError: There is no such tracker, or its package is not installed.
    """
    if name is None:
        yield None
        return
    require_tracker(name)
    guarded = _Guarded(name, reporter)
    grouped = {} if group is None else {"group": group}
    guarded.call(lambda module: module.init(project=PROJECT, name=run, config=dict(config), **grouped))
    try:
        yield guarded.log
    finally:
        guarded.call(lambda module: module.finish())


class _Guarded:
    """A tracker's module, called until it first fails."""

    def __init__(self, name: str, reporter: Reporter) -> None:
        self._name = name
        self._reporter = reporter
        self._failed = False

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self.call(lambda module: module.log(dict(figures), step=step))

    def call(self, action: Callable[[Any], object]) -> None:
        """Do something with the tracker, unless it failed before."""
        if self._failed:
            return
        try:
            with redirect_stdout(sys.stderr):  # stdout carries keys, and trackio talks
                action(import_module(self._name))
        except Exception as error:
            self._failed = True
            self._reporter.say(
                f"{self._name} failed and is left out from here on: {type(error).__name__}: {error}"
            )
