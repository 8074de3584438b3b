"""Mirror a training's figures to an experiment tracker; one that fails never stops the run."""

from __future__ import annotations

import os
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
PATIENCE = {"WANDB_INIT_TIMEOUT": "10", "WANDB_FINISH_TIMEOUT": "30"}
"""Seconds that W&B may keep a training waiting for its server, unless its own variables are set; it retries for 90, and
at the end without limit. What was not sent stays in `WANDB_DIR` for `wandb sync`."""
_STDOUT, _STDERR = 1, 2


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
    name: str | None,
    run: str,
    config: Mapping[str, Any],
    reporter: Reporter,
    group: str | None = None,
    keep: dict[str, object] | None = None,
) -> Iterator[Track | None]:
    """Open a tracker's run and yield what takes each step's figures; None if there is none.

    W&B's own settings (`WANDB_MODE=offline`, `WANDB_DIR`, `WANDB_RUN_GROUP`, …) and trackio's (`TRACKIO_DIR`) hold.

    Args:
        name: `wandb`, `trackio` or None.
        run: Name of the run.
        config: What the run is: its key, parents, settings and place in the study.
        reporter: Is told once if the tracker fails.
        group: Name of the study that the run belongs to; None leaves it to the tracker's own settings.
        keep: What a worker holds between trainings: one that could not be opened is not waited for again.

    Raises:
        UsageError: There is no such tracker, or its package is not installed.
    """
    if name is None:
        yield None
        return
    require_tracker(name)
    kept = {} if keep is None else keep
    unreachable = f"tracker that could not be opened: {name}"
    if unreachable in kept:
        yield None
        return
    for variable, seconds in PATIENCE.items():
        os.environ.setdefault(variable, seconds)
    guarded = _Guarded(name, reporter)
    grouped = {} if group is None else {"group": group}
    guarded.call(lambda module: module.init(project=PROJECT, name=run, config=dict(config), **grouped))
    if guarded.failed:
        kept[unreachable] = True
    try:
        yield guarded.log
    finally:
        guarded.call(lambda module: module.finish())


class _Guarded:
    """A tracker's module, called until it first fails."""

    def __init__(self, name: str, reporter: Reporter) -> None:
        self._name = name
        self._reporter = reporter
        self.failed = False

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self.call(lambda module: module.log(dict(figures), step=step))

    def call(self, action: Callable[[Any], object]) -> None:
        """Do something with the tracker, unless it failed before."""
        if self.failed:
            return
        try:
            with _stdout_on_stderr():
                action(import_module(self._name))
        except Exception as error:
            self.failed = True
            self._reporter.say(
                f"{self._name} failed and is left out from here on: {type(error).__name__}: {error}"
            )


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Keep stdout, which carries keys, from a tracker and from the processes it starts, which talk until we end."""
    sys.stdout.flush()
    ours = os.dup(_STDOUT)
    try:
        os.dup2(_STDERR, _STDOUT)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(ours, _STDOUT)
        os.close(ours)
