"""The fork report as the real command prints it, over artifacts of the real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from published_forks import publish_forks, publish_scores, publish_trunk
from typer.testing import CliRunner

from budgetctl.cli.app import app
from budgetctl.study.build import plan_study
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import parse_recipe
from store import Store

RECIPE: dict[str, Any] = {
    "name": "forked",
    "base": "tiny",
    "task": "arith",
    "budgets": [96, 128],
    "shares": [],
    "sft": {"epochs": 2, "batch_size": 8},
    "data": {"options": {"train": 800, "dev": 16, "test": 16}},
    "forks": {
        "sft_budget": 64,
        "every": 16,
        "dev_size": 16,
        "triggers": [{"perplexity": [8, 4, 3]}, {"at": [24]}],
        "baselines": "matched",
    },
}
STEPS = {"perplexity<=8": 4, "perplexity<=4": 8, "perplexity<=3": 12, "examples=24": 3}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def report(store: Store, recipe: dict[str, Any], *options: str) -> str:
    file = store.root.parent / "forked.yaml"
    file.write_text(yaml.safe_dump(recipe))
    command = ["report", "forks", "--grid", str(file), "--store", str(store.root), *options]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception
    return done.stdout


def tables(store: Store, recipe: dict[str, Any]) -> list[dict[str, Any]]:
    document: list[dict[str, Any]] = json.loads(report(store, recipe, "--format", "json"))
    return document


def finished(store: Store, recipe: dict[str, Any]) -> Plan:
    """Publish the study's trunks, forks and scores."""
    plan = plan_study(parse_recipe(recipe), store)
    for key in {branch.axes["trunk"] for branch in plan.branches}:
        publish_trunk(store, plan, key, [40, 20, 7, 5, 3.5, 3.1, 2.8, 2.7, 2.6])
    grown = publish_forks(store, plan, lambda branch: STEPS[branch.axes["fork"]])
    publish_scores(store, grown, lambda cell: min(0.9, cell.axes["n_sft"] / 100))
    return grown


def test_budgets_that_share_a_trunk_each_have_its_curve_and_predictions(store: Store) -> None:
    finished(store, RECIPE)
    small, large = tables(store, RECIPE)
    assert (small["budget"], large["budget"]) == (96, 128)
    for table in (small, large):
        assert [len(curve["points"]) for curve in table["curves"]] == [9]
        assert {one["metric"]: one["spearman"] for one in table["predictions"]} == {
            "perplexity": 1,
            "examples": 1,
        }
    picture = store.root.parent / "forks.svg"
    report(store, RECIPE, "--plot", str(picture))
    assert picture.read_text().count("FillBetweenPolyCollection") >= 2, (
        "the dev curve of each budget has its band"
    )


def test_seeds_are_reported_together(store: Store) -> None:
    recipe = {**RECIPE, "budgets": [96], "seeds": [0, 1]}
    finished(store, recipe)
    (table,) = tables(store, recipe)
    over = table["over_seeds"]
    assert over["seeds"] == [0, 1]
    assert [(one["trigger"], one["fired_seeds"], one["scored_seeds"]) for one in over["forks"]] == [
        ("examples=24", 2, 2), ("perplexity<=8", 2, 2), ("perplexity<=4", 2, 2), ("perplexity<=3", 2, 2)
    ]  # fmt: skip
    assert [(one["kind"], one["n_sft"], one["seeds"]) for one in over["baselines"]] == [
        ("sft-only over seeds", 64, 2), ("sft-only over seeds", 96, 2), ("pft-only over seeds", 0, 2)
    ]  # fmt: skip
    assert over["seed_noise"]["df"] > 0
    assert {one["trunks"] for one in table["predictions"]} == {2}
    assert len(table["forks"]) == 8
    assert report(store, recipe).count("2 of 2") == 4
