"""Progress for people, on stderr: bars on a terminal, plain timed lines everywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 10.0
WORTH_A_LINE_S = 1.0
"""Shorter work ends without a line of its own."""


class Bar(Protocol):
    """One piece of work whose length is known."""

    def update(self, done: int, **fields: float | str) -> None:
        """Say how much is done in all, with figures worth showing beside it (loss, rows/s, …)."""


class Reporter(Protocol):
    """Where a stage tells people what it does. Never stdout."""

    def say(self, text: str) -> None:
        """Print one line."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Bar]:
        """Open a progress bar over `total` units."""


def _figures(fields: Mapping[str, float | str]) -> str:
    return "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in fields.items())  # fmt: skip


class LineReporter:
    """Plain lines with the time, at most one per bar every ten seconds; for logs and schedulers."""

    def __init__(self, stream: TextIO | None = None, prefix: str = "", every_s: float = LINE_EVERY_S) -> None:
        self._stream = stream or sys.stderr
        self._prefix = prefix
        self._every_s = every_s

    def say(self, text: str) -> None:
        try:
            print(f"{time.strftime('%H:%M:%S')} {self._prefix}{text}", file=self._stream, flush=True)
        except BrokenPipeError:
            return  # whoever listened is gone; that must not fail the work

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        started = time.monotonic()
        bar = _LineBar(self, title, total, self._every_s)
        yield bar
        took_s = time.monotonic() - started
        if took_s >= WORTH_A_LINE_S:
            self.say(f"{title}: {bar.done}/{total} in {took_s:.1f} s  {bar.figures}".rstrip())


class _LineBar:
    def __init__(self, reporter: LineReporter, title: str, total: int, every_s: float) -> None:
        self._reporter, self._title, self._total, self._every_s = reporter, title, total, every_s
        self._last = time.monotonic()
        self.done = 0
        self.figures = ""

    def update(self, done: int, **fields: float | str) -> None:
        self.done = done
        self.figures = _figures(fields) or self.figures
        if time.monotonic() - self._last >= self._every_s:
            self._last = time.monotonic()
            self._reporter.say(f"{self._title}: {done}/{self._total}  {self.figures}".rstrip())


class LinesThrough(LineReporter):
    """Everything as lines of another reporter: for work beside other work, of which each would want its own bar."""

    def __init__(self, inner: Reporter, prefix: str) -> None:
        super().__init__(prefix=prefix)
        self._inner = inner

    def say(self, text: str) -> None:
        self._inner.say(f"{self._prefix}{text}")


class RichReporter:
    """Live bars on a terminal."""

    def __init__(self, prefix: str = "") -> None:
        from rich.console import Console  # noqa: PLC0415  (rich is slow to import; a cache hit needs none of it)

        self._console = Console(stderr=True, highlight=False)
        self._prefix = prefix

    def say(self, text: str) -> None:
        self._console.print(f"{self._prefix}{text}", markup=False)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        with Progress(*columns, console=self._console, transient=False) as progress:
            task = progress.add_task(f"{self._prefix}{title}", total=total, figures="")
            yield _RichBar(progress, task)


class _RichBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, **fields: float | str) -> None:
        if fields:
            self._progress.update(self._task, completed=done, figures=_figures(fields))
        else:
            self._progress.update(self._task, completed=done)


class SilentReporter:
    """Says nothing; for calls from other programs and tests."""

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        yield _SilentBar()


class _SilentBar:
    def update(self, done: int, **fields: float | str) -> None:
        pass


def make_reporter(prefix: str = "", quiet: bool = False) -> Reporter:
    """Choose bars or lines: bars only on a terminal that is not a Slurm job's or a dumb one."""
    if quiet:
        return SilentReporter()
    plain = "SLURM_JOB_ID" in os.environ or os.environ.get("TERM") == "dumb" or "NO_COLOR" in os.environ
    if sys.stderr.isatty() and not plain:
        return RichReporter(prefix)
    return LineReporter(prefix=prefix)
