"""Plans foretell which forks cannot have their pairs: refused where that is sure, told where it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from published_forks import publish_forks
from typer.testing import CliRunner

from budgetctl.cli.app import app
from budgetctl.errors import UsageError
from budgetctl.stages.data import DataIdentity
from budgetctl.study.build import plan_study
from budgetctl.study.fork_supply import points_of
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import parse_recipe
from budgetctl.study.row_counter import RowCounter
from store import Store

FORKS: dict[str, Any] = {"sft_budget": 64, "every": 16, "dev_size": 16, "triggers": [{"at": [64]}]}
RECIPE: dict[str, Any] = {
    "name": "forked",
    "base": "tiny",
    "task": "arith",
    "budgets": [96],
    "shares": [],
    "sft": {"epochs": 2, "batch_size": 8},
    "data": {"options": {"train": 110, "dev": 16, "test": 16}},
    "forks": FORKS,
}
"""64 demonstrations and 32 pairs fit apart into 110 prompts; 64 and 88 do not."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def recipe(triggers: list[Any], **changes: Any) -> dict[str, Any]:
    forks = {**FORKS, "triggers": triggers, **changes.pop("forks", {})}
    return {**RECIPE, **changes, "forks": forks}


def planned(store: Store, triggers: list[Any], **changes: Any) -> tuple[Plan, list[str]]:
    told: list[str] = []
    return plan_study(parse_recipe(recipe(triggers, **changes)), store, warn=told.append), told


def test_the_sources_hold_as_many_pairs_as_this_file_says(store: Store) -> None:
    plan, told = planned(store, [{"at": [64]}])
    assert told == []
    counter = RowCounter({}, None)
    rows = next(p for p in plan.stages.values() if p.stage == "data" and p.identity["kind"] == "sft")
    assert not counter.find(DataIdentity.model_validate(rows.identity), {}).refused


def test_a_count_of_examples_whose_pairs_cannot_be_had_is_refused(store: Store) -> None:
    with pytest.raises(UsageError) as refused:
        planned(store, [{"at": [8, 64]}])
    first, *others, last = str(refused.value).splitlines()
    assert first.startswith("tiny/arith/dpo/b96/fork:examples=8/seed0 cannot be had: overlap: disjoint")
    assert "88 preference rows and 64 SFT rows" in first
    assert not others, "64 demonstrations leave 32 pairs, which can be had"
    assert last == "change the budget, fork later, or leave these out"
    assert planned(store, [{"at": [8]}], data={**RECIPE["data"], "overlap": "shared"})[1] == []


def test_a_metric_that_may_fire_too_early_is_told_and_planned(store: Store) -> None:
    plan, told = planned(store, [{"perplexity": 4}, {"plateau": {"patience": 4}}])
    assert plan.branches
    (sentence,) = told
    assert sentence.startswith(
        "tiny/arith/dpo/b96/fork:perplexity<=4/seed0 cannot be had if it fires before 64 examples: arith has 94"
    ), "the base itself may pass the threshold, a plateau takes four evaluations more"
    assert "96 are asked for; lower the budget, or spend more of it on the other kind of rows" in sentence


def test_the_warning_stands_on_stderr_of_plan(store: Store, tmp_path: Path) -> None:
    (tmp_path / "forked.yaml").write_text(yaml.safe_dump(recipe([{"perplexity": 4}])))
    command = ["plan", "--grid", str(tmp_path / "forked.yaml"), "--store", str(store.root), "--emit", "slurm"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception
    assert "warning: tiny/arith/dpo/b96/fork:perplexity<=4/seed0 cannot be had if it fires" in done.stderr
    assert "cannot be had" not in done.stdout


def test_a_metric_whose_pairs_can_never_be_had_is_refused(store: Store) -> None:
    with pytest.raises(
        UsageError, match=r"fork:perplexity<=4/seed0 cannot be had: .*136 are asked for; lower"
    ):
        planned(store, [{"perplexity": 4}], budgets=[200], data={**RECIPE["data"], "overlap": "shared"})


def test_a_published_fork_is_judged_by_where_it_fired(store: Store) -> None:
    late, early, never = (
        publish_forks(opened, planned(opened, [{"perplexity": 4}])[0], lambda _, step=step: step)  # type: ignore[misc]
        for step, opened in ((8, store), (0, _beside(store, "early")), (None, _beside(store, "never")))
    )
    assert planned(store, [{"perplexity": 4}])[1] == []
    assert any("fork:perplexity" in cell.name for cell in late.cells)
    (sentence,) = planned(_beside(store, "early"), [{"perplexity": 4}])[1]
    assert "seed0 cannot be had: arith has 94" in sentence, "the rest of the study can still be run"
    assert any("fork:perplexity" in cell.name for cell in early.cells)
    assert planned(_beside(store, "never"), [{"perplexity": 4}])[1] == []
    assert not any("fork:perplexity" in cell.name for cell in never.cells)


def _beside(store: Store, name: str) -> Store:
    return Store.open(store.root.parent / name, create=True)


def test_more_dev_rows_than_there_are_are_refused_with_both_numbers(store: Store) -> None:
    with pytest.raises(UsageError) as refused:
        planned(store, [{"at": [64]}], forks={"dev_size": 40})
    assert (
        str(refused.value)
        == "forks.dev_size: arith (dev) has 16 prompts, and 40 are asked for; ask for fewer"
    )


@pytest.mark.parametrize(
    ("trigger", "anneal", "points"),
    [
        ({"at": [20]}, None, [(24, 24)]),
        ({"at": [20]}, {"share": 0.5}, [(24, 40)]),
        ({"at": [8]}, {"share": 1}, [(8, 8)]),  # its rate is still zero
        ({"at": [60]}, {"share": 1}, [(64, 64)]),  # the next rows are known ones
        ({"perplexity": 4}, None, [(0, 0), (16, 16), (32, 32), (48, 48), (64, 64), (80, 64), (96, 64), (112, 64),
                                   (128, 64)]),
        ({"pass@1": 0.5}, {"share": 0.5}, [(0, 0), (16, 24), (32, 48), (48, 64), (64, 64), (80, 64), (96, 64),
                                           (112, 64), (128, 64)]),
        ({"plateau": {"patience": 7}}, None, [(112, 64), (128, 64)]),
        ({"plateau": {"patience": 9}}, None, []),
    ],
)  # fmt: skip
def test_where_a_trigger_may_fire(
    store: Store, trigger: Any, anneal: Any, points: list[tuple[int, int]]
) -> None:
    plan = plan_study(parse_recipe(recipe([trigger], forks={"anneal": anneal})), store, check=False)
    found = points_of(plan, plan.branches[0])
    assert [(point.examples, point.distinct) for point in found] == points


def test_many_doubts_are_told_in_few_lines(store: Store) -> None:
    thresholds = [{"perplexity": [round(2 + number / 10, 1) for number in range(20)]}]
    told = planned(store, thresholds)[1]
    assert len(told) == 13
    assert told[-1] == "… and 8 more"
