"""A small study with forks, through the real commands: grows, survives kills, does nothing twice."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from store import Store
from tests.e2e.commands import Run, published, run_and_kill
from tests.small_base import write_small_base

RECIPE = """
name: forked
base: BASE
task: gsm8k
method: dpo
budgets: [112]
shares: []
data:
  path: rows
  system_prompt: ""
  options:
    sft: {files: {train: [train.jsonl]}, columns: {prompt: prompt, answer: right}}
    pref: {files: {train: [train.jsonl]}, columns: {prompt: prompt, chosen: right, rejected: wrong}}
    eval:
      files: {dev: [dev.jsonl], test: [test.jsonl]}
      columns: {prompt: prompt, reference: reference, answer: right}
sft: {epochs: 2, batch_size: 8, optimizer: {learning_rate: 1.0e-2}}
pft: {epochs: 1, batch_size: 8}
forks:
  sft_budget: 96
  every: 16
  dev_size: 24
  samples: 2
  max_new_tokens: 8
  triggers:
    - perplexity: [12, 1.01]
    - pass@1: [0.08, 0.9]
    - plateau: {metric: perplexity, patience: 3, min_gain: 0.05}
    - at: [48]
  baselines: matched
eval: {max_new_tokens: 8}
"""
"""24 steps. Whether a number is odd is learnt as far as that it is 0 or 1, so that metrics move all the way."""
PLATEAU = "plateau(perplexity,patience=3,gain=0.05)"


@pytest.fixture
def program(warm_budgetctl: tuple[str, ...]) -> tuple[str, ...]:
    return warm_budgetctl


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = tmp_path / "rows"
    rows.mkdir()
    for name, numbers in (("train", range(100, 400)), ("dev", range(24)), ("test", range(30, 42))):
        lines = [
            {
                "prompt": f"{n}?",
                "right": f"#### {n % 2}",
                "wrong": f"#### {1 - n % 2}",
                "reference": str(n % 2),
            }
            for n in numbers
        ]
        (rows / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "forked.yaml"
    path.write_text(RECIPE.replace("BASE", str(write_small_base(tmp_path / "base"))))
    return path


def fork_facts(store: Path) -> dict[str, tuple[object, ...]]:
    """Trigger → what was decided, and from which step."""
    opened = Store.open(store)
    facts = [opened.artifact(key).metrics for key in published(store) if opened.artifact(key).stage == "fork"]
    return {
        str(fact["trigger"]): (fact["fired"], fact["same_as"], fact["step"], fact["distinct"])
        for fact in facts
    }


def evaluations(store: Path) -> int:
    """How often the trunk that is trained now has been measured."""
    walked = os.walk(store / "drafts")  # which does not mind what comes and goes meanwhile
    return sum(len(files) for folder, _, files in walked if folder.endswith("/evaluations"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_forked_study_killed_at_random_ends_with_the_same_forks(
    budgetctl: Run, program: tuple[str, ...], recipe: Path, tmp_path: Path
) -> None:
    calm, store = tmp_path / "calm", tmp_path / "store"
    budgetctl("run", "--grid", recipe, "--store", calm, "--jobs", "2")
    decided = fork_facts(calm)
    fired = {trigger: fact[2] for trigger, fact in decided.items() if fact[0]}
    assert set(fired) == {"perplexity<=12", "pass@1>=0.08", PLATEAU, "examples=48"}
    assert set(decided) - set(fired) == {"perplexity<=1.01", "pass@1>=0.9"}
    by_metric = [fired[trigger] for trigger in ("perplexity<=12", "pass@1>=0.08", PLATEAU)]
    assert len(set(by_metric)) == 3 and all(isinstance(step, int) and 0 < step < 24 for step in by_metric), (
        "metrics decide, at different steps, before the end"
    )

    dice = random.Random(7)
    run_and_kill(program, recipe, store, after_s=dice.uniform(0.5, 4.0))
    for measured in (dice.randrange(1, 6), dice.randrange(7, 12)):
        run_and_kill(
            program, recipe, store, after_s=60, once=lambda least=measured: evaluations(store) >= least
        )
        assert not fork_facts(store), "killed within the trunk"
    budgetctl("run", "--grid", recipe, "--store", store, "--jobs", "2")
    assert fork_facts(store) == decided
    assert published(store) == published(calm)
    budgetctl("store", "verify", "--deep", "--store", store)

    attempts = sorted(store.glob("attempts/??/*.json"))
    again = budgetctl("run", "--grid", recipe, "--store", store, "--jobs", "2")
    assert sorted(store.glob("attempts/??/*.json")) == attempts, "a finished study runs nothing again"
    assert "already there" in again.stderr

    forks = json.loads(
        budgetctl("report", "forks", "--grid", recipe, "--store", store, "--format", "json").stdout
    )
    assert len(forks[0]["forks"]) == len(decided)
    picture = tmp_path / "forks.png"
    budgetctl("report", "forks", "--grid", recipe, "--store", store, "--plot", picture)
    assert picture.stat().st_size > 1000
    status = json.loads(budgetctl("status", "--store", store, "--json").stdout)
    assert status["finished"]
    assert status["forks"] == {"fired": 4, "not fired": 2}
    listed = budgetctl("store", "gc", "--dry-run", "--grace", "0", "--store", store).stdout.splitlines()
    grown = {"data", "sft", "trunk", "fork", "pft", "gen", "eval"}
    assert not grown & {line.split()[1] for line in listed}, (
        "what forks added to a plan is kept like the rest"
    )
