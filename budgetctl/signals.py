"""Asking a process to stop without losing work: TERM and USR2 set a flag that stages look at."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACEFUL = (signal.SIGTERM, signal.SIGUSR2)  # USR2 because NCCL takes USR1 for itself

PARENT_VARIABLE = "BUDGETCTL_PARENT"
"""Names the process that a worker must not outlive."""
PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>."""


def stop_with_parent() -> None:
    """Have the kernel send TERM to this process when the one named by `BUDGETCTL_PARENT` dies, however it dies.

    Does nothing when the variable is unset or the system is not Linux.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before the kernel was told
        os.kill(os.getpid(), signal.SIGTERM)


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


@contextmanager
def faithful_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C come out of the block as `KeyboardInterrupt` whatever libraries made of it.

    One that comes while libraries are being imported may be swallowed there; what is half imported then fails with an
    error that nobody would understand (numpy, for one, with endless recursion).
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread alone
        return
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where Ctrl-C is ignored
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
