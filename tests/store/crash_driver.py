"""Kills a scenario before each of its effects on the world, one run per effect, and recovers from each.

    python crash_driver.py SCENARIO FOLDER         all kill points; prints how many there were
    python crash_driver.py random FOLDER KILLS     as many kills at random moments of a mixed worker

A kill point is every call from Python into the system or DuckDB that can change something: found by an audit hook and
a profiler hook in the killed process, so no code of the store knows of it and none can be forgotten. This process
only forks, so that no thread of DuckDB is ever copied by a fork.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import fsspec.implementations.local  # noqa: F401  (loaded once, before the forks)
from crash_scenarios import SCENARIOS, check_whole, opened, random_work

CHANGING_CALLS = {"write", "pwrite", "flush", "sendfile", "copy_file_range"}
"""Seen by the profiler: they write."""

CHANGING_EVENTS = {
    "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.truncate",
    "fcntl.ioctl",
}  # fmt: skip
"""Raised by the interpreter just before the system call of that name. `open` counts too, if it is for writing."""


def in_fork(work: Callable[[], None]) -> int:
    """Run `work` in a child; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(point: int, work: Callable[[], None]) -> Callable[[], None]:
    """`work`, with SIGKILL just before its effect number `point`, counted over all threads."""
    counter = itertools.count(1)

    def count() -> None:
        if next(counter) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_call(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and getattr(called, "__name__", "") in CHANGING_CALLS:
            count()

    def on_event(event: str, details: tuple[Any, ...]) -> None:
        if event in CHANGING_EVENTS or (
            event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            count()

    class Watched:
        """A DuckDB connection whose statements count; the hooks do not see into its extension module."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            count()
            self._real = real_connect(*arguments, **options)

        def execute(self, *arguments: Any) -> Any:
            count()
            return self._real.execute(*arguments)

        def close(self) -> None:
            count()
            self._real.close()

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

    real_connect = duckdb.connect

    def run() -> None:
        duckdb.connect = Watched  # type: ignore[assignment]
        sys.addaudithook(on_event)
        threading.setprofile(on_call)
        sys.setprofile(on_call)
        work()
        sys.setprofile(None)

    return run


def drive_all_points(name: str, folder: Path) -> int:
    place, prepared = folder / name, folder / "prepared"
    place.mkdir()
    assert in_fork(lambda: SCENARIOS[name].prepare(place)) == 0, f"{name} cannot be prepared"
    place.rename(prepared)
    for point in itertools.count(1):
        shutil.copytree(prepared, place, symlinks=True)
        survived = drive_point(name, place, point)
        shutil.rmtree(place)
        if survived:
            return point - 1
    raise AssertionError


def drive_point(name: str, place: Path, point: int) -> bool:
    """Kill at one point and recover; True if the work was over before it came to that point."""
    scenario = SCENARIOS[name]
    status = in_fork(killed_at(point, lambda: scenario.work(place)))
    assert status in {0, -signal.SIGKILL}, f"{name} failed by itself at point {point}"
    assert in_fork(lambda: scenario.recover(place)) == 0, f"{name} does not recover from a kill at {point}"
    return status == 0


def drive_random_kills(folder: Path, kills: int) -> int:
    chance = random.Random(int(os.environ.get("CRASH_SEED", "7")))
    log = os.open(folder / "promised", os.O_CREAT | os.O_RDWR | os.O_APPEND)

    def recover() -> None:
        promised = {line for line in (folder / "promised").read_text().split("\n") if len(line) == 64}
        check_whole(opened(folder), *promised)

    def recover_index() -> None:
        store = opened(folder)
        rows = store.index().query("SELECT key FROM artifacts ORDER BY key").rows
        assert [key for (key,) in rows] == list(store.keys())

    for kill in range(kills):
        child = os.fork()
        if child == 0:
            random_work(folder, chance.randrange(10**9), log)
        time.sleep(chance.uniform(0.0, 0.2))
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == -signal.SIGKILL, f"the worker failed by itself before kill {kill}"
        assert in_fork(recover) == 0, f"the store does not recover from random kill {kill}"
        if kill % 10 == 9:
            assert in_fork(recover_index) == 0, f"the index does not recover from random kill {kill}"
    assert (folder / "promised").stat().st_size > 0, "no worker lived long enough to publish anything"
    return kills


def main(what: str, folder: Path, kills: int) -> int:
    gc.freeze()  # or each child would copy the pages of all modules as soon as it collects
    return drive_random_kills(folder, kills) if what == "random" else drive_all_points(what, folder)


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2]), int((sys.argv[3:] or ["0"])[0])))
