"""How many cores and how much memory this process and its children may use. No torch."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 2**20
GROUPS = Path("/sys/fs/cgroup")


def free_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def free_memory_mib(proc: Path = Path("/proc"), groups: Path = GROUPS) -> float | None:
    """Memory that may still be taken: what is available on the machine, or less where a control group sets a limit.

    Batch systems and containers limit a job by a control group; what the group holds as file cache counts as free.

    Args:
        proc: Where the kernel tells of processes.
        groups: Where the control groups are mounted (version 2; of version 1 the memory controller's).

    Returns:
        MiB; None where the kernel does not tell.
    """
    try:
        told = (proc / "meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    lines = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    available = float(lines["MemAvailable"].split()[0]) / 1024
    return min([available, *_free_in_groups(proc, groups)])


def _free_in_groups(proc: Path, groups: Path) -> list[float]:
    """MiB left in each control group above this process that has a limit."""
    try:
        lines = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            top, limit, used, cache = groups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top = groups / "memory"
            limit, used, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        folder = top / name.lstrip("/")
        for group in (folder, *folder.parents):
            if (group / limit).is_file():
                most = (group / limit).read_text(encoding="ascii").strip()
                if most != "max":
                    held = int((group / used).read_text(encoding="ascii"))
                    found.append((int(most) - held + _in_stat(group, cache)) / MIB)
            if group == top:
                break
    return found


def _in_stat(group: Path, name: str) -> int:
    for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
