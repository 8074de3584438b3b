"""Timing in turn: every contender once a round, so that a busy machine is busy for all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Contender = Callable[[], float]
"""Prepares, runs and cleans up one measurement; returns the seconds of what is measured."""


def seconds_of(command: Sequence[str], folder: Path) -> float:
    """Wall time of one process."""
    # Without compiled modules every start of a tool compiles its sources again; users keep them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["DVC_NO_ANALYTICS"] = "1"
    start = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def in_turn(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds of every contender in every round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, measure in contenders.items():
            seconds = measure()
            if number:
                times[name].append(seconds)
    return times


def table(times: Mapping[str, Sequence[float]], reference: str) -> str:
    """Markdown: median, spread, and the median of the round-by-round ratios to `reference`."""
    lines = [f"| what | median | least – most | times {reference} |", "|---|--:|--:|--:|"]
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, times[reference], strict=True))
        spread = f"{_show(min(seconds))} – {_show(max(seconds))}"
        lines.append(f"| {name} | {_show(statistics.median(seconds))} | {spread} | {ratio:.2f} |")
    return "\n".join(lines)


def machine() -> str:
    """One line on what this ran on and how busy it was."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def _show(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"
