"""What a plan and a machine say before anything runs: who gets which GPU, and how large adapters will get."""

from __future__ import annotations

from pathlib import Path

import pytest

from budgetctl.errors import UsageError
from budgetctl.study.build import plan_study
from budgetctl.study.local import gpus_of_worker
from budgetctl.study.ranks import largest_rank
from budgetctl.study.recipe import parse_recipe
from store import Store


@pytest.mark.parametrize(
    ("jobs", "gpus", "dealt"),
    [
        (2, "0,1", ["0", "1"]),
        (2, "4,5,6,7", ["4,6", "5,7"]),
        (3, "0,1", ["0", "1", "0"]),
        (1, "0,1", ["0,1"]),
        (2, "", ["", ""]),
    ],
)
def test_workers_do_not_crowd_onto_the_first_gpu(jobs: int, gpus: str, dealt: list[str]) -> None:
    visible = tuple(gpus.split(",")) if gpus else ()
    assert [",".join(gpus_of_worker(number, jobs, visible)) for number in range(jobs)] == dealt


RECIPE = {"name": "a", "base": "tiny", "task": "arith", "budgets": [16], "shares": [1, 0.5, 0]}


@pytest.mark.parametrize(
    ("settings", "largest"),
    [
        ({}, 64),
        ({"sft": {"lora": {"rank": 8}}, "pft": {"lora": {"rank": 16}}}, 24),
        ({"sft": {"lora": {"rank": 8}}, "pft": {"adapter": "continue"}}, 32),
        ({"shares": [1]}, 32),
        ({"shares": [1], "sft": {"weights": "full"}}, None),
    ],
)
def test_the_largest_rank_of_a_plan(settings: dict[str, object], largest: int | None, tmp_path: Path) -> None:
    plan = plan_study(parse_recipe({**RECIPE, **settings}), Store.open(tmp_path / "store", create=True))
    assert largest_rank(plan) == largest


def test_forks_and_what_follows_them_count(tmp_path: Path) -> None:
    forks = {"triggers": [{"perplexity": 3.0}], "every": 8}
    recipe = parse_recipe({**RECIPE, "shares": [1], "forks": forks, "sft": {"lora": {"rank": 8}}})
    assert largest_rank(plan_study(recipe, Store.open(tmp_path / "store", create=True))) == 8 + 32


def test_how_answers_are_drawn_and_scored_is_part_of_a_recipe(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    wanted = {"decoding": "sample-8", "pass_at": [1, 8], "engine": "vllm", "split": "dev"}
    plan = plan_study(parse_recipe({**RECIPE, "eval": wanted}), store)
    stages = {name: [one for one in plan.stages.values() if one.stage == name] for name in ("gen", "eval")}
    assert {one.identity["engine"] for one in stages["gen"]} == {"vllm"}
    assert {one.identity["decoding"]["samples"] for one in stages["gen"]} == {8}
    assert {tuple(one.identity["pass_at"]) for one in stages["eval"]} == {(1, 8)}
    with pytest.raises(UsageError, match=r"pass@16 needs at least as many answers a prompt.* is 8"):
        plan_study(parse_recipe({**RECIPE, "eval": {**wanted, "pass_at": [16]}}), store)
