"""The worker loop on this machine: N worker processes over one plan, watched from the outside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from budgetctl.console import Reporter
from budgetctl.engines.gpus import visible_gpus
from budgetctl.engines.host import free_cores
from budgetctl.signals import PARENT_VARIABLE
from budgetctl.study.branches import grown_in
from budgetctl.study.plan import Plan
from budgetctl.study.state import missing_of
from store import Store

POLL_S = 0.5
STOP_GRACE_S = 120.0


def run_workers(
    plan: Plan,
    plan_id: str,
    store: Store,
    worker_options: Sequence[str],
    jobs: int,
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> list[int]:
    """Start `jobs` workers, show how the plan advances until they end, and return their exit codes.

    A stop (signal, Ctrl-C) is passed on to the workers, which save what they do and end by themselves.
    """
    command = [
        sys.executable,
        "-P",  # a folder named like one of our packages in the working directory must not be imported
        "-m",
        "budgetctl",
        "worker",
        "--plan",
        plan_id,
        "--store",
        str(store.root),
        *worker_options,
    ]
    named = any(option == "cpu" or option.startswith("cuda:") for option in worker_options)
    gpus = () if named else visible_gpus()
    workers = [_start(command, jobs, gpus_of_worker(number, jobs, gpus)) for number in range(jobs)]
    voices = [
        _relay(worker, f"[{number}] " if jobs > 1 else "", reporter)
        for number, worker in enumerate(workers, start=1)
    ]
    try:
        _watch(plan, store, workers, reporter, should_stop)
    finally:
        _end(workers)
        for voice in voices:
            voice.join(timeout=5)
    return [worker.returncode for worker in workers]


def gpus_of_worker(number: int, jobs: int, gpus: Sequence[str]) -> Sequence[str]:
    """Deal GPUs to workers: each its own as long as there are enough, else in turn.

    Args:
        number: Of the worker, from 0.
        jobs: How many workers there are.
        gpus: What this process may use.
    """
    if not gpus:
        return ()
    return gpus[number::jobs] or (gpus[number % len(gpus)],)


def _start(command: Sequence[str], jobs: int, gpus: Sequence[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"NO_COLOR": "1", PARENT_VARIABLE: str(os.getpid())}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if jobs > 1:  # workers must not each start a thread per core
        threads = str(max(1, (os.cpu_count() or 1) // jobs))
        environment = {"OMP_NUM_THREADS": threads, "BUDGETCTL_THREADS": threads, **environment}
    # a session of its own: Ctrl-C reaches the parent alone, which then asks each worker to stop
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _relay(worker: subprocess.Popen[str], prefix: str, reporter: Reporter) -> threading.Thread:
    """Pass the worker's lines on, so that bars and lines of several processes do not tear each other."""

    def pump(stream: IO[str]) -> None:
        for line in stream:
            text = line.rstrip()
            if text:
                reporter.say(f"{prefix}{text[9:] if text[2:3] == ':' and text[5:6] == ':' else text}")

    assert worker.stderr is not None
    thread = threading.Thread(target=pump, args=(worker.stderr,), daemon=True)
    thread.start()
    return thread


def _watch(
    plan: Plan,
    store: Store,
    workers: Sequence[subprocess.Popen[str]],
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> None:
    present: set[str] = set()

    def working() -> bool:
        return any(worker.poll() is None for worker in workers) and not should_stop()

    while working():
        planned = set(plan.stages)
        with reporter.bar("stages", len(planned)) as bar:
            while working() and len(plan.stages) == len(planned):
                present |= planned - missing_of(plan, store, present)
                bar.update(len(present))
                time.sleep(POLL_S)
                plan = grown_in(plan, store)
            bar.update(len(planned - missing_of(plan, store, present)))


def _end(workers: Sequence[subprocess.Popen[str]]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    deadline = time.monotonic() + STOP_GRACE_S
    for worker in workers:
        try:
            worker.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def default_jobs(gpus: int) -> int:
    """One worker per GPU; without a GPU one per two cores, two on a small machine."""
    return gpus if gpus else max(1, min(8, free_cores() // 2 if free_cores() > 2 else free_cores()))
