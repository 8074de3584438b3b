"""Timing in turn: every contender once a round, so that a busy machine is busy for all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Took:
    """Seconds of one measurement: on the wall, and on all cores together."""

    wall: float
    cpu: float


Contender = Callable[[], Took]
"""Prepares, runs and cleans up one measurement; returns what the measured part took."""


def took_by_process(command: Sequence[str], folder: Path) -> Took:
    """Time one whole process."""
    # Without compiled modules every start of a tool compiles its sources again; users keep them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["DVC_NO_ANALYTICS"] = "1"
    start = time.perf_counter()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, env=environment, **quiet)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Took(wall, usage.ru_utime + usage.ru_stime)


def took_by_call(work: Callable[[], object]) -> Took:
    """Time one call in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[Took]]:
    """What every contender took in every round, after one round that does not count."""
    times: dict[str, list[Took]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, measure in contenders.items():
            took = measure()
            if number:
                times[name].append(took)
    return times


def table(times: Mapping[str, Sequence[Took]], reference: str) -> str:
    """Markdown: medians, spread, and the medians of the round-by-round ratios to `reference`."""
    lines = [
        f"| what | wall | least – most | CPU | wall, times {reference} | CPU, times {reference} |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, rows in times.items():
        walls, cpus = [row.wall for row in rows], [row.cpu for row in rows]
        wall_ratio = statistics.median(a.wall / b.wall for a, b in zip(rows, times[reference], strict=True))
        cpu_ratio = statistics.median(a.cpu / b.cpu for a, b in zip(rows, times[reference], strict=True))
        spread = f"{_show(min(walls))} – {_show(max(walls))}"
        medians = f"{_show(statistics.median(walls))} | {spread} | {_show(statistics.median(cpus))}"
        lines.append(f"| {name} | {medians} | {wall_ratio:.2f} | {cpu_ratio:.2f} |")
    return "\n".join(lines)


def machine() -> str:
    """One line on what this ran on and how busy it was."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def _show(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"
