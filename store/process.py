"""Who works: a process named so that others can tell it apart, and tell when it is dead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Holder:
    """One process on one machine.

    Attributes:
        host: Host name, for people.
        machine: Boot id and process-id namespace: equal only where a pid means the same process. Empty where the
            system does not tell.
        pid: Process id.
        started: Start time of that process in clock ticks since boot, so that a reused pid is not mistaken.
        user: Numeric user id.
        job: Slurm job (with the array task), or empty.
    """

    host: str
    machine: str
    pid: int
    started: int
    user: int
    job: str

    @classmethod
    def current(cls) -> Holder:
        """This process."""
        pid = os.getpid()
        job, task = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
        name = f"{job}_{task}" if job and task else os.environ.get("SLURM_JOB_ID", "")
        return cls(os.uname().nodename, _machine(), pid, _start_time(pid), os.getuid(), name)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Holder:
        """Read back what `to_document` wrote.

        Raises:
            KeyError, TypeError, ValueError: Not such a document.
        """
        texts = {name: str(document[name]) for name in ("host", "machine", "job")}
        numbers = {name: int(document[name]) for name in ("pid", "started", "user")}
        return cls(**texts, **numbers)  # type: ignore[arg-type]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    def is_dead(self) -> bool:
        """Whether the process is gone for certain. On another machine nobody can know, so the answer is no."""
        if not self.machine or self.machine != _machine():
            return False
        return _start_time(self.pid) != self.started

    def describe(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"pid {self.pid} on {self.host}{job}"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_time(pid: int) -> int:
    """Start of a process in ticks after boot; 0 if it is gone or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])
