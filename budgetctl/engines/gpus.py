"""Which GPUs this process may use, how much of their memory is free, and who holds the rest. No torch."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY_S = 0.2
SMALL_CHANGE = 0.01
"""Share of a GPU's memory that other programs may take or leave meanwhile."""


@dataclass(frozen=True)
class Memory:
    """Of one GPU, in MiB."""

    free: float
    total: float


def visible_gpus() -> tuple[str, ...]:
    """Name the GPUs this process may use, as `CUDA_VISIBLE_DEVICES` does or else by number."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(device.strip() for device in named.split(",") if device.strip())
    return tuple(str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*")))))


def physical_gpu(device: str) -> str:
    """Name the GPU behind `auto`, `cuda` or `cuda:N`, which count only the visible ones."""
    number = int(device.split(":")[1]) if ":" in device else 0
    visible = visible_gpus()
    return visible[number] if number < len(visible) else str(number)


def gpu_memory(gpu: str) -> Memory | None:
    """Ask the driver's own tool; None where there is no such tool."""
    answer = _ask(gpu, "--query-gpu=memory.free,memory.total")
    if answer is None:
        return None
    free, total = (float(value) for value in answer.splitlines()[0].split(","))
    return Memory(free, total)


def gpu_holders(gpu: str) -> str:
    """Return a line of process id, program and MiB per process on a GPU; empty where the machine does not show them."""
    return (_ask(gpu, "--query-compute-apps=pid,process_name,used_memory") or "").strip()


def wait_for_memory(gpu: str, before: Memory | None, patience_s: float) -> bool:
    """Wait until a GPU has as much free memory as before; the driver takes some time to collect a dead process's."""
    until = time.monotonic() + patience_s
    while before is not None:
        now = gpu_memory(gpu)
        if now is None or now.free >= before.free - SMALL_CHANGE * before.total:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _ask(gpu: str, query: str) -> str | None:
    try:
        return subprocess.check_output(
            ["nvidia-smi", f"--id={gpu}", "--format=csv,noheader,nounits", query], text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
