"""How a plan's run is going: cells, running stages with their progress, time and money used and left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from budgetctl.study.branches import grown_in
from budgetctl.study.deadline import seconds_of
from budgetctl.study.estimate import PlanEstimate, estimate_plan, hours
from budgetctl.study.overview import money
from budgetctl.study.plan import Plan
from budgetctl.study.progress import Progress, read_progress
from budgetctl.study.state import PlanState, StageState, state_of
from store import Store

CELL_STATES = ("done", "running", "waiting", "failed")


@dataclass(frozen=True)
class RunningStage:
    """A stage somebody works on."""

    key: str
    stage: str
    holder: str
    seconds: float
    progress: Progress | None


@dataclass(frozen=True)
class PlanStatus:
    """Everything `budgetctl status` shows, at one moment."""

    plan_id: str
    name: str
    cells: Mapping[str, int]
    """How many cells are in which of `CELL_STATES`."""
    stages: Mapping[StageState, int]
    forks: Mapping[str, int]
    """How many forks are `waiting`, have `fired`, or did `not fire`; empty in a study without forks."""
    running: tuple[RunningStage, ...]
    failed: Mapping[str, str]
    """`stage key` → the last error."""
    attempts: Mapping[str, int]
    """Outcome → how many; `killed` are those whose end nobody recorded."""
    used_s: float
    """Worker seconds spent, that of unfinished attempts included."""
    left_s: float
    """Worker seconds that the rest should take."""
    gpus: int
    """GPUs of one worker; 0 if the plan asks for none."""
    gpu_hour: float | None
    currency: str

    @property
    def finished(self) -> bool:
        """Whether nothing remains that a worker could do."""
        return not any(
            self.stages.get(s, 0) for s in (StageState.RUNNING, StageState.READY, StageState.WAITING)
        )


class StatusReader:
    """Looks at a plan again and again; what was published once is not read twice."""

    def __init__(self, plan: Plan, plan_id: str, store: Store, estimate: PlanEstimate) -> None:
        self._plan, self._plan_id, self._store, self._estimate = plan, plan_id, store, estimate
        self._settled: dict[str, tuple[float, Counter[str]]] = {}
        slurm, cost = plan.recipe.get("slurm", {}), plan.recipe.get("cost", {})
        self._gpus = int(str(slurm.get("gpus") or "0").rpartition(":")[2])
        self._gpu_hour, self._currency = cost.get("gpu_hour"), str(cost.get("gpu_currency", "$"))

    def look(self) -> PlanStatus:
        """Say how things are now."""
        state = state_of(self._plan, self._store)
        if self._grow():  # after the look, so that no fork is seen as published without what follows it
            state = state_of(self._plan, self._store)
        plan = self._plan
        used, attempts = 0.0, Counter[str]()
        running = []
        for key, found in state.stages.items():
            seconds, outcomes, current = self._spent(key, found)
            used += seconds
            attempts += outcomes
            if found is StageState.RUNNING:
                progress = read_progress(self._store.root, key)
                running.append(
                    RunningStage(key, plan.stages[key].stage, state.holders[key], current, progress)
                )
        todo = [
            key for key, found in state.stages.items() if found not in (StageState.HIT, StageState.BLOCKED)
        ]
        left = sum(max(0.0, self._estimate.stages[key].seconds) for key in todo)
        left -= sum(min(stage.seconds, self._estimate.stages[stage.key].seconds) for stage in running)
        return PlanStatus(
            plan_id=self._plan_id,
            name=plan.name,
            cells=_cells(plan, state),
            stages={found: state.count(found) for found in StageState},
            forks=self._forks(state),
            running=tuple(sorted(running, key=lambda stage: -stage.seconds)),
            failed={f"{plan.stages[key].stage} {key[:12]}": why for key, why in state.failures.items()},
            attempts=attempts,
            used_s=used,
            left_s=left,
            gpus=self._gpus,
            gpu_hour=self._gpu_hour,
            currency=self._currency,
        )

    def _grow(self) -> bool:
        """Follow the plan as its forks are published; whether anything was added."""
        plan = grown_in(self._plan, self._store)
        if len(plan.stages) == len(self._plan.stages):
            return False
        self._plan, self._estimate = plan, estimate_plan(plan, self._store)
        return True

    def _forks(self, state: PlanState) -> dict[str, int]:
        keys = {branch.fork for branch in self._plan.branches}
        fired = [
            bool(self._store.artifact(key).metrics["fired"])
            for key in keys
            if state.stages[key] is StageState.HIT
        ]
        counts = {
            "fired": sum(fired),
            "not fired": len(fired) - sum(fired),
            "waiting": len(keys) - len(fired),
        }
        return {name: count for name, count in counts.items() if count}

    def _spent(self, key: str, found: StageState) -> tuple[float, Counter[str], float]:
        """Seconds of all attempts at a stage, their outcomes, and seconds of the running one."""
        if found is StageState.HIT and key in self._settled:
            return *self._settled[key], 0.0
        if found in (StageState.WAITING, StageState.BLOCKED):
            return 0.0, Counter(), 0.0
        attempts = self._store.attempts(key)
        seconds = sum(seconds_of(attempt) or 0.0 for attempt in attempts)
        outcomes = Counter(attempt.outcome or "killed" for attempt in attempts)
        current = 0.0
        if found is StageState.RUNNING and attempts and not attempts[-1].ended:
            began = datetime.fromisoformat(attempts[-1].started)
            current = max(0.0, (datetime.now(UTC) - began).total_seconds())
            outcomes["killed"] -= 1
            outcomes["running"] += 1
        if found is StageState.HIT:
            self._settled[key] = (seconds, outcomes)
        return seconds + current, outcomes, current


def _cells(plan: Plan, state: PlanState) -> dict[str, int]:
    found = Counter(_cell_state({state.stages[key] for key in cell.stages.values()},
                                state.stages[cell.result]) for cell in plan.cells)  # fmt: skip
    return {name: found[name] for name in CELL_STATES}


def _cell_state(stages: set[StageState], result: StageState) -> str:
    if result is StageState.HIT:
        return "done"
    if stages & {StageState.FAILED, StageState.BLOCKED}:
        return "failed"
    return "running" if StageState.RUNNING in stages else "waiting"


def to_text(status: PlanStatus) -> str:
    """The status for people."""
    cells = "  ".join(f"{count} {name}" for name, count in status.cells.items() if count)
    stages = "  ".join(f"{count} {found.value}" for found, count in status.stages.items() if count)
    attempts = "  ".join(f"{count} {name}" for name, count in sorted(status.attempts.items()) if count)
    lines = [
        f"plan {status.plan_id[:12]}  {status.name}",
        f"cells     {cells}",
        f"stages    {stages}",
        *(
            [f"forks     {'  '.join(f'{count} {name}' for name, count in status.forks.items())}"]
            if status.forks
            else []
        ),
        f"attempts  {attempts or 'none yet'}",
        f"{'GPU time' if status.gpus else 'time'}".ljust(10) + _time(status),
    ]
    for stage in status.running:
        lines.append(
            f"running   {stage.stage} {stage.key[:12]}  {hours(stage.seconds)}  {_progress(stage)}{stage.holder}"
        )
    lines += [f"failed    {name}: {why}" for name, why in status.failed.items()]
    return "\n".join(lines)


def _time(status: PlanStatus) -> str:
    many = max(1, status.gpus)
    text = f"{hours(status.used_s * many)} used, about {hours(status.left_s * many)} left"
    if status.gpu_hour is not None:
        used, left = (
            money(s * many, status.gpu_hour, status.currency) for s in (status.used_s, status.left_s)
        )
        text += f"; {used} used, about {left} left"
    return text


def _progress(stage: RunningStage) -> str:
    if stage.progress is None:
        return ""
    progress = stage.progress
    figures = "".join(
        f" {name} {value:.4g}" if isinstance(value, float) else f" {name} {value}"
        for name, value in progress.figures.items()
    )
    return f"{progress.done}/{progress.total}{figures}  "


def to_document(status: PlanStatus) -> dict[str, Any]:
    """The status as JSON values."""
    many = max(1, status.gpus)
    return {
        "plan": status.plan_id,
        "name": status.name,
        "finished": status.finished,
        "cells": dict(status.cells),
        "stages": {found.value: count for found, count in status.stages.items()},
        "forks": dict(status.forks),
        "attempts": {name: count for name, count in status.attempts.items() if count},
        "running": [
            {
                "key": stage.key,
                "stage": stage.stage,
                "holder": stage.holder,
                "seconds": round(stage.seconds, 1),
                "progress": None
                if stage.progress is None
                else {"done": stage.progress.done, "total": stage.progress.total, **stage.progress.figures},
            }
            for stage in status.running
        ],
        "failed": dict(status.failed),
        "hours_used": round(status.used_s * many / 3600, 6),
        "hours_left": round(status.left_s * many / 3600, 6),
        "money_used": None
        if status.gpu_hour is None
        else round(status.used_s * many / 3600 * status.gpu_hour, 4),
        "money_left": None
        if status.gpu_hour is None
        else round(status.left_s * many / 3600 * status.gpu_hour, 4),
    }
