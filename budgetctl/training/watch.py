"""What happens between two steps: progress, the first step's check, checkpoints by time, a stop on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from budgetctl.console import Bar
from budgetctl.training.job import Track


def agreed(stop: bool, save: bool, device: torch.device) -> tuple[bool, bool]:
    """Let all processes of a training do the same: one that wants to stop or save decides for all."""
    if not torch.distributed.is_initialized():
        return stop, save
    wishes = torch.tensor([stop, save], dtype=torch.int32, device=device)
    torch.distributed.all_reduce(wishes, torch.distributed.ReduceOp.MAX)
    return bool(wishes[0]), bool(wishes[1])


FirstStepCheck = Callable[[Mapping[str, float]], None]


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells the bar, asks whether to stop, and has checkpoints written every so often."""

    def __init__(
        self,
        bar: Bar,
        should_stop: Callable[[], bool],
        checkpoint_every_s: float,
        check_first_step: FirstStepCheck | None,
        track: Track | None,
    ) -> None:
        self._bar = bar
        self._should_stop = should_stop
        self._every_s = checkpoint_every_s
        self._check_first_step = check_first_step
        self._track = track
        self._saved_at = time.monotonic()
        self.stopped = False

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Decide whether this is the moment for a checkpoint or for the end."""
        if state.global_step >= state.max_steps:
            return
        stop, save = agreed(
            self._should_stop(), time.monotonic() - self._saved_at >= self._every_s, args.device
        )
        if stop:
            self.stopped = True
            control.should_training_stop = True
        if stop or save:
            control.should_save = True
            self._saved_at = time.monotonic()

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show a step's figures, and judge the first one's."""
        if not logs or "loss" not in logs:
            return
        if state.global_step == 1 and self._check_first_step is not None:
            self._check_first_step(logs)
        self._bar.update(state.global_step, loss=float(logs["loss"]))
        if self._track is not None:
            self._track(state.global_step, logs)
