"""Sweeps on a real Slurm: sharing, every way to be interrupted, failure and repair, and the script's acceptance."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from slurm_cluster import (
    BUDGETCTL,
    Cluster,
    assert_complete_and_clean,
    plan_in,
    wait_until,
    write_recipe,
)

from budgetctl.console import SilentReporter
from budgetctl.models.tiny import TinyConfig, pretrain
from budgetctl.study.build import plan_study
from budgetctl.study.plan import Plan
from budgetctl.study.progress import read_progress
from budgetctl.study.recipe import load_recipe
from budgetctl.study.state import StageState, state_of
from store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def long_on(node: str) -> dict[str, Any]:
    """A single training, whose worker stays on a node: a Slurm of 22.05 may lose a job that was just asking to be
    requeued when its node's power was cut, so only one of them may meet the power cut."""
    return {"shares": [1], "budgets": [32], "slurm": {"workers": 1, "options": {"nodelist": node}}}


def key_of(plan: Plan, stage: str) -> str:
    """The plan's only stage of that kind."""
    (key,) = [key for key, payload in plan.stages.items() if payload.stage == stage]
    return key


def wait_for_step(store: Store, key: str, step: int) -> int:
    """Wait until the training `key` has done `step` steps; returns how many it has done."""

    def done() -> int:
        progress = read_progress(store.root, key)
        return progress.done if progress is not None else 0

    wait_until(lambda: done() >= step or store.has(key), f"step {step} of {key[:12]}")
    assert not store.has(key), f"the training ended before it could be interrupted at step {step}"
    return done()


def assert_curve_is_whole(store: Store, key: str) -> None:
    """The published curve has every step once, whatever interrupted it."""
    curve = pq.read_table(store.artifact(key).path("curves.parquet"), columns=["step", "name"]).to_pylist()
    steps = [row["step"] for row in curve if row["name"] == "loss"]
    assert steps == list(range(1, int(store.artifact(key).metrics["steps"]) + 1))


@pytest.fixture(scope="module")
def limited(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A training that cannot end within its job's time limit of a minute, submitted before everything else."""
    folder = tmp_path_factory.mktemp("limited")
    recipe = write_recipe(folder / "limited.yaml", **long_on("n2"), sft={"epochs": 60})
    store = folder / "store"
    job = cluster.submit(recipe, store, "--time", "1", "--checkpoint-every", "10")
    return Store.open(store), job


def test_two_sweeps_at_once_run_each_shared_stage_once(
    cluster: Cluster, limited: tuple[Store, str], tmp_path: Path
) -> None:
    one = write_recipe(tmp_path / "one.yaml")
    two = write_recipe(tmp_path / "two.yaml", shares=[1, 0.5, 0])
    folder = tmp_path / "the group's store"
    jobs = [cluster.submit(one, folder), cluster.submit(two, folder)]
    assert [cluster.wait_for_end(job) for job in jobs] == [{"COMPLETED"}, {"COMPLETED"}]

    store = Store.open(folder)
    plans = [plan_in(store, "one"), plan_in(store, "two")]
    assert set(plans[0].stages) < set(plans[1].stages)
    for plan in plans:
        assert_complete_and_clean(store, plan)
    outcomes = {key: [attempt.outcome for attempt in store.attempts(key)] for key in plans[1].stages}
    assert set(map(tuple, outcomes.values())) == {("published",)}
    workers = {store.attempts(key)[0].holder.job for key in plans[1].stages}
    assert len(workers) > 1, "one worker did everything"
    table = cluster.run(*BUDGETCTL, "report", "--grid", str(two), "--store", str(folder))
    assert "dpo" in table


def test_forks_grow_while_the_array_runs(cluster: Cluster, tmp_path: Path) -> None:
    forks = {"every": 16, "dev_size": 8, "triggers": [{"at": [16, 32]}, {"perplexity": 1.001}]}
    recipe = write_recipe(tmp_path / "forked.yaml", budgets=[48], shares=[], forks=forks)
    folder = tmp_path / "store"
    job = cluster.submit(recipe, folder)
    assert cluster.wait_for_end(job) == {"COMPLETED"}
    store = Store.open(folder)
    plan = plan_study(load_recipe(recipe), store)
    cells = {cell.axes["fork"]: cell.axes for cell in plan.cells if cell.axes.get("role") == "fork"}
    assert {name: axes["n_pft"] for name, axes in cells.items()} == {"examples=16": 32, "examples=32": 16}
    assert_complete_and_clean(store, plan)


def test_every_interruption_ends_with_the_complete_table(cluster: Cluster, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "hunted.yaml", **long_on("n1"), sft={"epochs": 120})
    folder = tmp_path / "store"
    job = cluster.submit(recipe, folder, "--checkpoint-every", "2")
    task = f"{job}_0"
    store = Store.open(folder)
    plan = plan_in(store, "hunted")
    sft = key_of(plan, "sft")

    at = wait_for_step(store, sft, 10)
    cluster.run("scancel", "--batch", "--signal=USR2", task)
    at = wait_for_step(store, sft, at + 10)
    cluster.run("scontrol", "requeue", task)
    at = wait_for_step(store, sft, at + 10)
    urgent = cluster.run(
        "sbatch", "--parsable", "-p", "urgent", "-N2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2"
    ).strip()
    at = wait_for_step(store, sft, at + 10)
    assert cluster.states(urgent) == {"COMPLETED"}
    node = cluster.run("squeue", "-h", "-j", task, "-o", "%N").strip()
    cluster.kill_node(node)
    cluster.boot_node(node)
    assert cluster.wait_for_end(job) == {"COMPLETED"}

    assert_complete_and_clean(store, plan)
    attempts = store.attempts(sft)
    assert [attempt.outcome for attempt in attempts] == [
        "interrupted",
        "interrupted",
        "interrupted",
        "",
        "published",
    ]
    assert {attempt.holder.job for attempt in attempts} == {task}
    assert len({attempt.holder.pid for attempt in attempts}) == 5
    assert all("stopped after step" in attempt.reason for attempt in attempts[:3])
    assert int(store.artifact(sft).metrics["resumed_at_step"]) >= at - 20
    assert_curve_is_whole(store, sft)
    logs = sorted(path.name for path in (folder / "logs").glob("*/*.log"))
    assert logs == [f"{task}.attempt-{restart}.log" for restart in range(5)]
    timeouts = next((folder / "logs").glob("*/*.timeouts")).read_text()
    assert timeouts == "1\n", "only USR2 announces a time limit; a preemption must not use up the allowance"


def make_model(folder: Path, seed: int) -> Path:
    """A Transformers folder: the tiny model after two steps."""
    for part in (folder, folder.with_suffix(".scratch")):
        part.mkdir()
    pretrain(
        TinyConfig(steps=2, seed=seed),
        folder,
        folder.with_suffix(".scratch"),
        SilentReporter(),
        lambda: False,
    )
    return folder


def test_a_failed_stage_spares_the_others_and_can_be_mended(cluster: Cluster, tmp_path: Path) -> None:
    good, torn = make_model(tmp_path / "good", 0), make_model(tmp_path / "torn", 1)
    recipe = write_recipe(tmp_path / "half.yaml", base=[str(good), str(torn)], base_settings={}, shares=[1])
    folder = tmp_path / "store"
    script = cluster.run(*BUDGETCTL, "plan", "--grid", str(recipe), "--store", str(folder))
    (torn / "config.json").rename(tmp_path / "config.json")
    job = cluster.run("sbatch", "--parsable", stdin=script).strip()
    assert cluster.wait_for_end(job) == {"FAILED"}

    store = Store.open(folder)
    plan = plan_in(store, "half")
    state = state_of(plan, store)
    assert state.by_kind(plan)["base"] == {StageState.HIT: 1, StageState.FAILED: 1}
    by_base = {base: Counter(state.stages[cell.result] for cell in plan.cells if cell.axes["base"] == base)
               for base in (str(good), str(torn))}  # fmt: skip
    assert by_base == {str(good): {StageState.HIT: 2}, str(torn): {StageState.BLOCKED: 2}}
    (reason,) = state.failures.values()
    assert "has changed since it was planned" in reason

    (tmp_path / "config.json").rename(torn / "config.json")
    again = cluster.submit(recipe, folder, "--retry-failed")
    assert cluster.wait_for_end(again) == {"COMPLETED"}
    assert_complete_and_clean(store, plan)
    outcomes = [attempt.outcome for attempt in store.attempts(next(iter(state.failures)))]
    assert outcomes == ["failed", "failed", "published"]


def test_slurm_accepts_every_option(cluster: Cluster, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "all.yaml")
    options = [
        "--partition", "main,urgent", "--time", "1-00:00:00", "--gpus", "1", "--cpus", "2", "--mem", "1G",
        "--array", "64%16", "--setup", "export A=~/x", "--python", "python3",
    ]  # fmt: skip
    for chosen in ([], options):
        script = cluster.run(
            *BUDGETCTL, "plan", "--grid", str(recipe), "--store", str(tmp_path / "it's a store"), *chosen
        )
        assert script.startswith("#!")
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        cluster.run("sbatch", "--test-only", stdin=script)
    stages = len(plan_in(Store.open(tmp_path / "it's a store"), "all").stages)
    assert f"--array=0-{stages - 1}%16" in script, "no more workers than stages"


def test_a_time_limit_in_the_middle_of_training_costs_nothing(
    cluster: Cluster, limited: tuple[Store, str]
) -> None:
    store, job = limited
    assert cluster.wait_for_end(job) == {"COMPLETED"}
    plan = plan_in(store, "limited")
    assert_complete_and_clean(store, plan)
    sft = key_of(plan, "sft")
    *before, last = store.attempts(sft)
    assert last.outcome == "published"
    assert before
    assert {attempt.outcome for attempt in before} <= {"interrupted", ""}, (
        "a worker that is still importing when the warning comes may be killed"
    )
    assert "interrupted" in {attempt.outcome for attempt in before}
    assert_curve_is_whole(store, sft)
    assert int(next((store.root / "logs").glob("*/*.timeouts")).read_text()) >= 1
    said = "".join(path.read_text() for path in (store.root / "logs").glob("*/*.out"))
    assert "after USR2" in said, "the warning before the time limit did not reach the worker"
