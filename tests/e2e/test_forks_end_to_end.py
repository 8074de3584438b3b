"""A small study with forks, through the real commands: grows, survives kills, does nothing twice."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from store import Store
from tests.e2e.commands import Run, published, run_and_kill

RECIPE = """
name: forked
base: tiny
task: arith
method: dpo
budgets: [96]
shares: []
base_settings: {steps: 40, hidden: 48, layers: 2, heads: 3, feed_forward: 96}
data: {options: {train: 600, dev: 24, test: 24}}
sft: {epochs: 2, batch_size: 8, optimizer: {learning_rate: 3.0e-3}}
pft: {epochs: 1, batch_size: 8}
forks:
  every: 32
  dev_size: 24
  samples: 2
  max_new_tokens: 24
  triggers: [{perplexity: [60, 50, 1.01]}, {pass@1: 0.9}, {at: [64]}]
  baselines: matched
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "forked.yaml"
    path.write_text(RECIPE)
    return path


def fork_facts(store: Path) -> dict[str, tuple[object, ...]]:
    """Trigger → what was decided, and from which step."""
    opened = Store.open(store)
    facts = [opened.artifact(key).metrics for key in published(store) if opened.artifact(key).stage == "fork"]
    return {
        str(fact["trigger"]): (fact["fired"], fact["same_as"], fact["step"], fact["distinct"])
        for fact in facts
    }


@pytest.mark.slow
def test_a_forked_study_killed_at_random_ends_with_the_same_forks(
    budgetctl: Run, recipe: Path, tmp_path: Path
) -> None:
    calm, store = tmp_path / "calm", tmp_path / "store"
    budgetctl("run", "--grid", recipe, "--store", calm, "--jobs", "2")
    decided = fork_facts(calm)
    assert set(decided) == {
        "perplexity<=60",
        "perplexity<=50",
        "perplexity<=1.01",
        "pass@1>=0.9",
        "examples=64",
    }
    assert decided["examples=64"][0]
    assert not decided["perplexity<=1.01"][0]

    dice = random.Random(7)
    for _ in range(4):
        run_and_kill(recipe, store, after_s=dice.uniform(4.0, 12.0))
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
    assert forks
    picture = tmp_path / "forks.png"
    budgetctl("report", "forks", "--grid", recipe, "--store", store, "--plot", picture)
    assert picture.stat().st_size > 1000
    status = json.loads(budgetctl("status", "--store", store, "--json").stdout)
    assert status["finished"]
    assert sum(status["forks"].values()) == 5
    listed = budgetctl("store", "gc", "--dry-run", "--grace", "0", "--store", store).stdout.splitlines()
    grown = {"data", "sft", "trunk", "fork", "pft", "gen", "eval"}
    assert not grown & {line.split()[1] for line in listed}, (
        "what forks added to a plan is kept like the rest"
    )
