"""Time `budgetctl plan` on a grid of the study's size, and simulate its run on 1 to 512 workers.

    python benchmarks/plan_full_grid.py --gsm8k ../shared/data/gsm8k [--rounds 5] [--workers 1 8 64 512]

The grid is 2 models × 2 tasks × 6 budgets × 7 shares × 2 methods × 3 seeds in one recipe, each model a folder on this
machine, so that nothing asks a hub. Times are wall and processor seconds of the whole command in a fresh process: into
a new store, and again into the same one. `--workers 0` leaves the simulation out.
The simulation runs the real `Worker` on a simulated clock, store and cluster (`budgetctl.study.simulate`).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from budgetctl.console import SilentReporter
from budgetctl.models.tiny import TinyConfig, pretrain
from budgetctl.study.build import plan_study
from budgetctl.study.estimate import CostModel, estimate_plan
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import load_recipe
from budgetctl.study.simulate import simulate
from budgetctl.study.simulated_site import Weather
from store import Store

GRID = {
    "method": ["dpo", "kto"],
    "budgets": [100, 200, 500, 1000, 2000, 3000],
    "shares": [1, 0.9, 0.75, 0.5, 0.25, 0.1, 0],
    "seeds": [0, 1, 2],
}
WEIGHTS = 8
"""Billions of weights of the simulated models; the cost model takes a nameless folder for one billion."""
COLUMNS = (
    "workers", "makespan h", "least possible h", "duplicated %", "lost to kills %", "preempted", "killed", "cut off",
    "store operations/s", "per worker", "busiest minute/s", "simulated in s",
)  # fmt: skip
WEATHER = Weather(preempted=1 / 6, killed=1 / 24, cut_off=1 / 24)


def make_models(folder: Path) -> list[str]:
    made = []
    for seed in (0, 1):
        model, scratch = folder / f"model{seed}", folder / f"scratch{seed}"
        model.mkdir()
        scratch.mkdir()
        pretrain(TinyConfig(steps=1, seed=seed), model, scratch, SilentReporter(), lambda: False)
        made.append(str(model))
    return made


def make_recipe(folder: Path, models: list[str], gsm8k: Path) -> Path:
    data = {"tasks": {"gsm8k": {"path": str(gsm8k.resolve())}}}
    path = folder / "full.yaml"
    path.write_text(
        yaml.safe_dump({"name": "full", "base": models, "task": ["arith", "gsm8k"], **GRID, "data": data})
    )
    return path


def timed_plan(recipe: Path, store: Path) -> tuple[float, float, str]:
    """Wall and processor seconds of one `budgetctl plan` into a pipe, and what it said."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "budgetctl", "plan", "--grid", str(recipe), "--store", str(store)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.startswith("#!")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, processor, done.stderr


def durations_of(plan: Plan, store: Store) -> dict[str, float]:
    estimate = estimate_plan(plan, store)
    start = CostModel().start_s
    found = {}
    for key, payload in plan.stages.items():
        seconds = estimate.stages[key].seconds
        if payload.stage in ("sft", "pft", "gen"):
            seconds = start + (seconds - start) * WEIGHTS
        found[key] = 600.0 if payload.stage == "base" else seconds
    return found


def longest_way(plan: Plan, durations: dict[str, float]) -> float:
    ends: dict[str, float] = {}
    for key, payload in plan.stages.items():
        ends[key] = durations[key] + max((ends[parent] for parent in payload.parents.values()), default=0.0)
    return max(ends.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gsm8k", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64, 512])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = make_recipe(folder, make_models(folder), options.gsm8k)
        timed_plan(recipe, folder / "first")  # does not count: compiles modules, warms the page cache
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
        print("| store | median wall s | spread | median processor s |\n|---|---|---|---|")
        stores = [folder / f"store-{n}" for n in range(options.rounds)]
        said = ""
        for what in ("new", "planned before"):
            runs = [timed_plan(recipe, store) for store in stores]
            walls, processors = [run[0] for run in runs], [run[1] for run in runs]
            print(f"| {what} | {statistics.median(walls):.2f} | {min(walls):.2f}–{max(walls):.2f} | "
                  f"{statistics.median(processors):.2f} |", flush=True)  # fmt: skip
            said = runs[-1][2]
        print(f"\n```\n{said.replace(name, '<folder>').strip()}\n```\n", flush=True)
        if options.workers == [0]:
            return
        store = Store.open(folder / "empty", create=True)
        plan = plan_study(load_recipe(recipe), store)
        durations = durations_of(plan, store)
        total, longest = sum(durations.values()), longest_way(plan, durations)
        print(
            f"{len(plan.cells)} cells, {len(plan.stages)} distinct stages, {total / 3600:.0f} h of work, the "
            f"longest way through the graph {longest / 3600:.2f} h\n"
        )
        print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
        for workers in options.workers:
            started = time.perf_counter()
            seen = simulate(plan, durations, workers, WEATHER, seed=1)
            assert set(seen.published) == set(plan.stages)
            rate = sum(seen.operations.values()) / seen.makespan
            print(
                f"| {workers} | {seen.makespan / 3600:.2f} | {max(total / workers, longest) / 3600:.2f} | "
                f"{100 * seen.duplicated / seen.worked:.2f} | {100 * seen.lost / seen.worked:.2f} | "
                f"{seen.interruptions['preempted']} | {seen.interruptions['killed']} | "
                f"{seen.interruptions['cut off']} | {rate:.1f} | {rate / workers:.2f} | "
                f"{max(seen.per_minute.values()) / 60:.0f} | {time.perf_counter() - started:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
