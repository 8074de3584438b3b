"""Data-parallel training in several processes of this machine, started and ended by the one that runs the stage.

Each child holds the whole policy and takes its share of every effective batch; TRL averages their gradients. The
parent relays progress, passes a stop on, and ends all children when one fails.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import torch

from budgetctl.console import Bar, LineReporter
from budgetctl.errors import BudgetctlError, InterruptedRunError, UsageError
from budgetctl.models.loading import choose_device
from budgetctl.training.attempt import OutOfMemory, attempt
from budgetctl.training.config import PftSettings, SftSettings
from budgetctl.training.job import Metric, TrainingJob

POLL_S = 0.2
TERMINATE_S = 30.0
"""Seconds a child gets to end by itself before it is killed."""
STOP_FILE = "stop"
LAST_LINES = 15
MARK = "@training "
"""Begins a line of a child's output that is for its parent."""


@dataclass(frozen=True)
class Starter:
    """How a process is started: its interpreter, its module, and what is set for it."""

    python: str = field(default_factory=lambda: sys.executable)
    module: str = "budgetctl.training.processes"
    environment: Mapping[str, str] = field(default_factory=dict)


def attempt_in_processes(
    job: TrainingJob, settings: SftSettings | PftSettings, recompute: bool, starter: Starter | None = None
) -> dict[str, Metric]:
    """Run `attempt` in `job.processes` processes and return the first one's metrics.

    Raises:
        OutOfMemory: A micro-batch did not fit on some process.
        InterruptedRunError: It was asked to stop; a checkpoint is written.
        UsageError: What `attempt` refuses, or there are too few GPUs.
        BudgetctlError: A child failed; its last lines are in the message.
    """
    _check_gpus(job.device, job.processes)
    folder = job.scratch / "processes"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    kind = "sft" if isinstance(settings, SftSettings) else "pft"
    document = {
        "kind": kind,
        "job": job.document(),
        "settings": settings.model_dump(),
        "recompute": recompute,
    }
    (folder / "job.json").write_text(json.dumps(document), encoding="utf-8")
    port = _free_port()
    children = [_start(folder, rank, job, port, starter or Starter()) for rank in range(job.processes)]
    try:
        relay = threading.Thread(
            target=_relay, args=(children[0].stdout, f"{kind} ×{job.processes}", job), daemon=True
        )
        relay.start()
        failed = _wait(children, folder, job.should_stop)
    finally:
        _end(children)
    relay.join(TERMINATE_S)
    return _result(folder, job.processes, failed)


def _check_gpus(device: str, processes: int) -> None:
    """Refuse several processes that would have to share a GPU.

    Raises:
        UsageError: One GPU was named for all of them, or there are fewer than processes.
    """
    if processes == 1 or choose_device(device).type != "cuda":
        return
    if ":" in device:
        raise UsageError(f"--processes {processes} takes one GPU each; leave --device {device} out.")
    if processes > (there := torch.cuda.device_count()):
        raise UsageError(f"--processes {processes} needs as many GPUs, and this process sees {there}.")


def _start(folder: Path, rank: int, job: TrainingJob, port: int, starter: Starter) -> subprocess.Popen[str]:
    environment = {**os.environ, **starter.environment}
    if job.processes > 1:
        environment |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(job.processes),
            "LOCAL_WORLD_SIZE": str(job.processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
    with (folder / f"log-{rank}.txt").open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            [starter.python, "-m", starter.module, str(folder), str(rank)],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if rank == 0 else log, stderr=log,
            text=True, start_new_session=True,
        )  # fmt: skip


def _wait(
    children: list[subprocess.Popen[str]], folder: Path, should_stop: Callable[[], bool]
) -> tuple[int, int] | None:
    """Return when all have ended, or the first that failed: its rank and its exit code."""
    while any(child.poll() is None for child in children):
        for rank, child in enumerate(children):
            if child.poll() not in (None, 0):
                return rank, int(child.returncode)
            if child.returncode == 0 and _gave_up(folder, rank):
                return None  # the others would wait for it in their next common step
        if should_stop():
            (folder / STOP_FILE).touch()
        time.sleep(POLL_S)
    return next(((rank, child.returncode) for rank, child in enumerate(children) if child.returncode), None)


def _gave_up(folder: Path, rank: int) -> bool:
    """Whether a process that ended by itself did so for a reason that ends the training."""
    result = json.loads((folder / f"result-{rank}.json").read_text(encoding="utf-8"))
    return "metrics" not in result


def _end(children: list[subprocess.Popen[str]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(TERMINATE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _relay(lines: IO[str] | None, title: str, job: TrainingJob) -> None:
    """Show the first child's steps: it prints how many there will be, then one line per step."""
    said = (json.loads(line.removeprefix(MARK)) for line in lines or () if line.startswith(MARK))
    first = next(said, None)
    if first is None:
        return
    with job.reporter.bar(title, first["steps"]) as bar:
        for step in said:
            if "loss" in step["figures"]:
                bar.update(step["step"], loss=float(step["figures"]["loss"]))
            if job.track is not None:
                job.track(step["step"], step["figures"])


class _Announcer:
    """The first child's reporter: its bar and figures go to the parent, its words into the log."""

    def __init__(self) -> None:
        self._words = LineReporter()

    def say(self, text: str) -> None:
        self._words.say(text)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        _announce({"steps": total})
        yield self

    def update(self, done: int, **fields: float | str) -> None:
        """Steps are announced with all their figures, by `track`."""


def _announce(content: Mapping[str, Any]) -> None:
    print(MARK + json.dumps(content), flush=True)


def _leave_with_parent() -> None:
    """End this process when the one that started it is gone, however that ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _result(folder: Path, processes: int, failed: tuple[int, int] | None) -> dict[str, Metric]:
    files = [folder / f"result-{rank}.json" for rank in range(processes)]
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    for result in results:
        if "out_of_memory" in result:
            raise OutOfMemory(**result["out_of_memory"])
        if "interrupted" in result:
            raise InterruptedRunError(result["interrupted"])
        if "error" in result:
            raise (UsageError if result["usage"] else BudgetctlError)(result["error"])
    if failed is not None:
        rank, code = failed
        lines = (folder / f"log-{rank}.txt").read_text(encoding="utf-8").splitlines()[-LAST_LINES:]
        raise BudgetctlError(
            f"Training process {rank} of {processes} ended with {code}. Its last lines:\n" + "\n".join(lines)
        )
    metrics: dict[str, Metric] = results[0]["metrics"]
    return metrics


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_child(folder: Path, rank: int) -> None:
    """Run one process's share; what it finds goes into `result-<rank>.json`."""
    document = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    reporter = _Announcer() if rank == 0 else LineReporter()
    job = TrainingJob.from_document(document["job"], reporter, (folder / STOP_FILE).exists)
    if rank == 0:
        job = replace(job, track=lambda step, figures: _announce({"step": step, "figures": dict(figures)}))
    if job.device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(rank)
        job = replace(job, device=f"cuda:{rank}")
    _leave_with_parent()
    settings = (SftSettings if document["kind"] == "sft" else PftSettings).model_validate(
        document["settings"]
    )
    result: dict[str, Any]
    try:
        result = {"metrics": attempt(job, settings, document["recompute"], main_process=rank == 0)}
    except OutOfMemory as found:
        result = {"out_of_memory": {"rows": found.rows, "least": found.least, "longest": found.longest}}
    except InterruptedRunError as stop:
        result = {"interrupted": str(stop)}
    except BudgetctlError as error:
        result = {"error": str(error), "usage": isinstance(error, UsageError)}
    (folder / f"result-{rank}.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    run_child(Path(sys.argv[1]), int(sys.argv[2]))
