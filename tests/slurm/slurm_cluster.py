"""A real Slurm of two nodes on this machine, for as long as these tests run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from budgetctl.study.plan import Plan
from store import Store

BUDGETCTL = (sys.executable, "-m", "budgetctl")
WAIT_S = 500.0


def wait_until(holds: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.2)


def processes_with(text: str) -> list[int]:
    """Living processes whose environment or command line holds `text`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            held = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text.encode() in held and state not in "ZX":
            found.append(int(folder.name))
    return found


class Cluster:
    """The cluster in `folder`, driven by its own commands."""

    def __init__(self, folder: Path, script: Path) -> None:
        self.folder, self._script = folder, script
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("SLURM", "BUDGETCTL"))
            },
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def start(self) -> None:
        urgent = "PartitionName=urgent Nodes=ALL PriorityTier=10"
        extra = f"PreemptType=preempt/partition_prio\\nPreemptMode=REQUEUE\\n{urgent}"
        settings = {
            "NODES": "2",
            "CPUS": "2",
            "MEM": "3000",
            "GPUS": "1",
            "KILLWAIT": "30",
            "EXTRA_CONF": extra,
        }
        self._control("start", settings)

    def stop(self) -> None:
        self._control("stop", {})

    def _control(self, action: str, settings: dict[str, str]) -> None:
        done = subprocess.run(
            ["bash", str(self._script), action, str(self.folder)],
            env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"slurm_local.sh {action}: {done.stderr}"

    def run(self, *command: str, stdin: str | None = None, code: int = 0) -> str:
        done = subprocess.run(
            command,
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(command)} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def submit(self, recipe: Path, store: Path, *options: str) -> str:
        """`budgetctl plan … | sbatch`; returns the job's id."""
        script = self.run(*BUDGETCTL, "plan", "--grid", str(recipe), "--store", str(store), *options)
        return self.run("sbatch", "--parsable", stdin=script).strip()

    def states(self, job: str) -> set[str]:
        """States of the job's array tasks."""
        shown = self.run("squeue", "-h", "--states=all", "-j", job, "-r", "-o", "%T").split()
        return set(shown)

    def wait_for_end(self, job: str, seconds: float = WAIT_S) -> set[str]:
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
        wait_until(lambda: bool(self.states(job)) and self.states(job) <= over, f"job {job} to end", seconds)
        return self.states(job)

    def kill_node(self, node: str) -> None:
        """What a power cut does: the node's daemon and all its jobs vanish at once, and the cluster notices."""
        daemon = int((self.folder / "pid" / f"slurmd.{node}").read_text().split()[0])
        jobs = [
            pid
            for pid in processes_with(f"SLURMD_NODENAME={node}")
            if str(self.folder) in _text_of(pid, "environ")
        ]
        steps = {
            parent for parent in map(_parent_of, jobs) if _text_of(parent, "comm").strip() == "slurmstepd"
        }
        for pid in {daemon, *jobs, *steps}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=power")

    def boot_node(self, node: str) -> None:
        log = (self.folder / "log" / f"slurmd.{node}.again").open("w")
        daemon = subprocess.Popen(
            ["slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"]],
            env={**self.environment, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        started = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[19]
        (self.folder / "pid" / f"slurmd.{node}").write_text(f"{daemon.pid} {started}\n")


def _text_of(pid: int, name: str) -> str:
    """A file of a process's `/proc` folder; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _parent_of(pid: int) -> int:
    fields = _text_of(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def write_recipe(path: Path, **settings: Any) -> Path:
    """A grid of `tiny` that takes seconds, changed by `settings`."""
    recipe: dict[str, Any] = {
        "name": path.stem,
        "base": "tiny",
        "task": "arith",
        "method": "dpo",
        "budgets": [24],
        "shares": [1, 0.5],
        "seeds": [0],
        "base_settings": {"steps": 20},
        "eval": {"size": 8, "max_new_tokens": 8},
        **settings,
    }
    recipe["slurm"] = {
        "cpus": 1,
        "mem": "700M",
        "workers": 2,
        "environment": {"OMP_NUM_THREADS": 1},
        **settings.get("slurm", {}),
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


def plan_in(store: Store, name: str) -> Plan:
    plans = [Plan.from_document(store.load_plan(identifier)) for identifier in store.plans()]
    return next(plan for plan in plans if plan.name == name)


def assert_complete_and_clean(store: Store, plan: Plan) -> None:
    assert not [key for key, there in store.many_has(plan.stages).items() if not there]
    for folder in ("leases", "drafts", "progress"):
        left = list((store.root / folder).iterdir()) if (store.root / folder).is_dir() else []
        assert not left, f"left behind: {left}"
    wait_until(lambda: not processes_with(str(store.root)), f"workers on {store.root} to end", 20)
