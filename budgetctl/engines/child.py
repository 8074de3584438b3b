"""A child process that answers JSON lines, in a process group of its own, whose end is certain."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from budgetctl.errors import BudgetctlError

LAST_LINES = 25
CLOSE_S = 10.0
TERMINATE_S = 10.0


class ChildDied(BudgetctlError):  # noqa: N818  (what happened, said from the outside)
    """The process ended without being asked to; its last log lines are in the message."""


class Child:
    """One process: requests in on stdin, replies out on a pipe, everything it prints into a log."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Args:
            command: What to run; the number of the reply descriptor is appended.
            log: File for its stdout and stderr.
            environment: The whole environment.
        """
        self._log = log
        reader, writer = os.pipe()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, str(writer)], stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
                pass_fds=(writer,), env=dict(environment), start_new_session=True,
            )  # fmt: skip
        os.close(writer)
        self._replies = reader
        self._rest = b""

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send one request.

        Raises:
            ChildDied: It is gone.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._died() from error

    def replies(self, timeout_s: float) -> Iterator[dict[str, Any]]:
        """Yield replies as they come.

        Raises:
            ChildDied: It ended, or said nothing for `timeout_s` seconds.
        """
        while True:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                yield json.loads(line)
            ready, _, _ = select.select([self._replies], [], [], timeout_s)
            if not ready:
                raise self._died(f"said nothing for {timeout_s:g} s")
            chunk = os.read(self._replies, 1 << 16)
            if not chunk:
                raise self._died()
            self._rest += chunk

    def kill(self) -> None:
        """Kill its whole group at once; whoever listens to it hears that it died."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ask it to leave, then terminate, then kill its whole group; returns when it is gone."""
        if self._process.stdin is not None and self._process.poll() is None:
            with contextlib.suppress(ChildDied):
                self.ask({"do": "close"})
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_S)
        for number, patience in ((signal.SIGTERM, TERMINATE_S), (signal.SIGKILL, TERMINATE_S)):
            if not self._group_lives():
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            until = time.monotonic() + patience
            while self._group_lives() and time.monotonic() < until:
                time.sleep(0.05)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        with contextlib.suppress(OSError):
            os.close(self._replies)

    def _group_lives(self) -> bool:
        self._process.poll()  # a zombie would count as alive
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _died(self, how: str = "") -> ChildDied:
        if not how:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            how = f"ended with {self._process.poll()}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        return ChildDied(f"The engine's process {how}. Its last lines:\n" + "\n".join(lines))
