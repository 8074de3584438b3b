"""What a published fork adds to a plan is worked on like the rest: labelled, and missed in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from published_forks import publish_all, publish_forks
from typer.testing import CliRunner

from budgetctl.cli.app import app
from budgetctl.console import SilentReporter
from budgetctl.errors import BudgetctlError
from budgetctl.study.board import StoreState
from budgetctl.study.build import plan_study
from budgetctl.study.labels import labels_of
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import parse_recipe
from budgetctl.study.worker import Worker
from store import Payload, Store

RECIPE: dict[str, Any] = {
    "name": "forked",
    "base": "tiny",
    "task": "arith",
    "budgets": [64],
    "shares": [],
    "sft": {"epochs": 1, "batch_size": 8},
    "data": {"options": {"train": 100, "dev": 16, "test": 16}},
    "forks": {"every": 16, "dev_size": 16, "triggers": [{"perplexity": 4}]},
}
LABELS = {
    "plan": "forked", "base": "tiny", "task": "arith", "method": "dpo", "budget": 64.0, "share": 0.5, "seed": 0,
    "role": "fork", "fork": "perplexity<=4",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def planned(store: Store) -> Plan:
    """The plan as it was before its trunk had run, with all that precedes the fork published."""
    plan = plan_study(parse_recipe(RECIPE), store)
    publish_all(store, plan, "fork")
    return plan


class Labels:
    """Asks what the plan says of each stage it is to run, and fails it."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Any]] = {}

    def beside(self, payload: Payload, others: Iterable[Payload]) -> Sequence[Payload]:
        return ()

    def run_side_by_side(self, payloads: Sequence[Payload], plan: Plan) -> Sequence[Future[str | None]]:
        raise AssertionError("nothing runs beside another")

    def run(self, payload: Payload, plan: Plan) -> str | None:
        self.seen[payload.stage] = labels_of(plan, payload.key)
        raise BudgetctlError("no stage is run here")

    def forget(self) -> None: ...

    def set_aside_corrupt(self, payload: Payload) -> None: ...


def test_a_fork_and_what_follows_it_have_all_their_labels(store: Store) -> None:
    plan = planned(store)
    runner = Labels()
    Worker(plan, StoreState(store), runner, SilentReporter(), lambda: False).run()
    assert runner.seen["fork"] == {name: value for name, value in LABELS.items() if name != "share"}, (
        "how much of the budget a fork has spent is not known before it is there"
    )
    publish_forks(store, plan, lambda _: 4)
    worker = Worker(plan, StoreState(store), runner, SilentReporter(), lambda: False)
    worker.run()
    assert runner.seen["data"] == LABELS
    grown = worker.plan
    (key,) = (key for key, payload in grown.stages.items() if payload.stage == "pft")
    assert labels_of(grown, key) == LABELS


def test_a_failing_stage_of_a_branch_ends_the_worker_with_a_sentence(store: Store) -> None:
    plan = planned(store)
    publish_forks(store, plan, lambda _: 0)  # 64 pairs beside 64 demonstrations: more prompts than there are
    plan_id = store.save_plan(plan.document())
    done = CliRunner().invoke(app, ["worker", "--plan", plan_id, "--store", str(store.root)])
    assert done.exit_code == 1, done.exception
    assert isinstance(done.exception, SystemExit)
    (line,) = (line for line in done.stderr.splitlines() if "failed: data" in line and "given up" not in line)
    assert "64 preference rows" in line
