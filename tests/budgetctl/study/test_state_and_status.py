"""States, status and estimates of a plan over a real store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from budgetctl.console import SilentReporter
from budgetctl.stages.stage import Execution
from budgetctl.study.build import plan_study
from budgetctl.study.estimate import CostModel, estimate_plan, hours
from budgetctl.study.plan import Plan
from budgetctl.study.progress import ProgressReporter, read_progress
from budgetctl.study.recipe import parse_recipe
from budgetctl.study.running import StageRunner
from budgetctl.study.state import StageState, state_of
from budgetctl.study.status import StatusReader, to_document, to_text
from store import Store

RECIPE = {"name": "small", "base": "tiny", "task": "arith", "budgets": [8, 16], "shares": [1, 0],
          "slurm": {"gpus": 2}, "cost": {"gpu_hour": 3.0}}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def plan(store: Store) -> Plan:
    return plan_study(parse_recipe(RECIPE), store)


def data_of(plan: Plan) -> list[str]:
    return [key for key, payload in plan.stages.items() if payload.stage == "data"]


def run(store: Store, plan: Plan, key: str) -> None:
    StageRunner(store, Execution(), SilentReporter(), lambda: False).run(plan.stages[key], plan)


def fail(store: Store, key: str, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ValueError, match="rows are missing"), store.attempt(key, stage="data"):
            raise ValueError("rows are missing")


def look(store: Store, plan: Plan) -> StatusReader:
    return StatusReader(plan, store.save_plan(plan.document()), store, estimate_plan(plan, store))


def test_each_state_is_told_apart(store: Store, plan: Plan) -> None:
    done, failed, held, *_ = [plan.cells[1].stages["sft-data"], plan.cells[2].stages["pft-data"],
                              plan.cells[3].stages["sft-data"]]  # fmt: skip
    run(store, plan, done)
    fail(store, failed, times=2)
    with store.lease(held, note="data"), store.attempt(held, stage="data"):
        state = state_of(plan, store)
        status = look(store, plan).look()
    assert (state.stages[done], state.stages[failed], state.stages[held]) == (
        StageState.HIT, StageState.FAILED, StageState.RUNNING,
    )  # fmt: skip
    assert state.stages[plan.cells[2].stages["pft"]] is StageState.BLOCKED
    assert state.stages[plan.cells[1].stages["sft"]] is StageState.WAITING, "its base is not there yet"
    assert state.failures == {failed: "ValueError: rows are missing"}
    assert dict(status.cells) == {"done": 0, "running": 1, "waiting": 3, "failed": 1}
    (running,) = status.running
    assert running.key == held
    assert "pid" in running.holder
    assert status.attempts == {"published": 1, "failed": 2, "running": 1}
    text = to_text(status)
    assert "GPU time" in text
    assert "$" in text
    assert f"failed    data {failed[:12]}: ValueError: rows are missing" in text
    document = json.loads(json.dumps(to_document(status)))
    assert document["money_used"] == pytest.approx(document["hours_used"] * 3.0, abs=1e-3)
    assert not document["finished"]


def test_a_failure_is_forgiven_from_a_moment_on(store: Store, plan: Plan) -> None:
    key = data_of(plan)[0]
    fail(store, key, times=2)
    assert state_of(plan, store).stages[key] is StageState.FAILED
    assert state_of(plan, store, forgive_before="9999").stages[key] is StageState.READY


def test_progress_is_written_while_a_stage_runs_and_removed_after(store: Store, plan: Plan) -> None:
    key = data_of(plan)[0]
    reporter = ProgressReporter(SilentReporter(), store.root, key)
    with store.lease(key), store.attempt(key), reporter.bar("sft", 240) as bar:
        bar.update(60, loss=1.25)
        assert "60/240 loss 1.25" in to_text(look(store, plan).look())
        ProgressReporter(SilentReporter(), store.root, key).close()
        assert read_progress(store.root, key) is not None, (
            "who wrote nothing must not remove another's progress"
        )
    reporter.close()
    assert read_progress(store.root, key) is None
    assert not list((store.root / "progress").iterdir())


def test_without_history_the_cost_model_speaks_and_with_it_history(store: Store, plan: Plan) -> None:
    first, *others = [key for key in data_of(plan) if plan.stages[key].identity["kind"] == "sft"]
    before = estimate_plan(plan, store)
    assert before.stages[first].source == "model"
    assert before.stages[first].seconds == CostModel().light_s
    run(store, plan, first)
    after = estimate_plan(plan, store)
    assert {after.stages[key].source for key in (first, *others)} == {"history"}
    (attempt,) = store.attempts(first)
    assert attempt.ended > attempt.started
    assert after.stages[others[0]].seconds < CostModel().light_s * 10
    assert after.sources(plan.stages)["model"] == len(plan.stages) - 1 - len(others)


def test_more_rows_take_longer_in_the_cost_model(store: Store, plan: Plan) -> None:
    estimate = estimate_plan(plan, store)
    sft = [key for key, payload in plan.stages.items() if payload.stage == "sft"]
    small, large = sorted(estimate.stages[key].seconds for key in sft)
    assert small < large
    assert estimate.shared_s > 0


def test_hours_for_people() -> None:
    assert [hours(s) for s in (0, 119, 600, 7200, 3_600_000)] == [
        "0 s",
        "119 s",
        "10 min",
        "2.0 h",
        "1,000 h",
    ]


def test_watching_ends_with_the_plan(store: Store, plan: Plan) -> None:
    part = plan.only("data")
    for key in part.stages:
        run(store, part, key)
    plan_id = store.save_plan(part.document())
    command = [sys.executable, "-m", "budgetctl", "status", "--store", str(store.root), "--watch"]
    done = subprocess.run(
        [*command, "--plan", plan_id[:10]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(part.stages)} hit" in done.stdout
    seen = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True).stdout
    )
    assert seen["plan"] == plan_id, "without --plan it is the plan stored last"
    assert seen["finished"]
