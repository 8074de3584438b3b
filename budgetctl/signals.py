"""Asking a process to stop without losing work: TERM and USR2 set a flag that stages look at."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACEFUL = (signal.SIGTERM, signal.SIGUSR2)  # USR2 because NCCL takes USR1 for itself


class StopFlag:
    """True once a signal asked to stop; call it to look."""

    def __init__(self) -> None:
        self.signal_name: str | None = None

    def __call__(self) -> bool:
        return self.signal_name is not None

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Turn TERM and USR2 into a flag while the block runs; the old handlers come back afterwards.

    Ctrl-C stays an exception: a training keeps its last periodic checkpoint and goes on from there.
    """
    flag = StopFlag()
    before = {number: signal.signal(number, flag._raise) for number in GRACEFUL}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
