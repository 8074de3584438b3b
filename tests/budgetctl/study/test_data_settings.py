"""Where the rows of each of a study's tasks come from."""

from __future__ import annotations

import json

import pytest

from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.data.requests import eval_data, sft_data
from budgetctl.errors import UsageError
from budgetctl.study.build import plan_study
from budgetctl.study.recipe import load_recipe, parse_recipe
from store import Store

COMMIT = "c" * 40


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def folder(tmp_path):
    rows = '{"question": "1 + %d?", "answer": "2 + 5 = <<2+5=7>>7 or %d\\n#### 7"}\n'
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions" / "train.jsonl").write_text("".join(rows % (i, i + 1) for i in range(60)))
    (tmp_path / "questions" / "test.jsonl").write_text(rows % (99, 100))
    return tmp_path


def recipe_file(folder, **data):
    content = {
        "name": "two",
        "base": "tiny",
        "task": ["arith", "gsm8k"],
        "budgets": [10],
        "shares": [1],
        "data": data,
    }
    (folder / "r.yaml").write_text(json.dumps(content))
    return folder / "r.yaml"


def identities(plan):
    return {
        cell.axes["task"]: plan.stages[cell.stages["sft-data"]].identity
        for cell in plan.cells
        if cell.axes["method"]
    }


def test_each_task_has_its_own_settings(folder, store):
    tasks = {"gsm8k": {"path": "questions"}, "arith": {"options": {"train": 300}}}
    found = identities(plan_study(load_recipe(recipe_file(folder, tasks=tasks)), store))
    assert found["arith"]["source"]["train"] == 300
    assert found["gsm8k"]["source"]["source"] == "gsm8k-files"


def test_what_is_not_named_takes_the_settings_beside(folder, store):
    recipe = load_recipe(recipe_file(folder, tasks={"gsm8k": {"path": "questions"}}, options={"habit": 0.25}))
    assert identities(plan_study(recipe, store))["arith"]["source"]["habit"] == 0.25


def test_the_plan_knows_where_the_files_lie(folder, store):
    recipe = load_recipe(recipe_file(folder, tasks={"gsm8k": {"path": "questions"}}))
    assert str(folder / "questions" / "train.jsonl") in plan_study(recipe, store).sources.values()


def test_settings_of_one_task_beside_several_are_explained(folder, store):
    with pytest.raises(UsageError, match=r"task arith: .*no --path[\s\S]*data: \{tasks: \{TASK: "):
        plan_study(load_recipe(recipe_file(folder, path="questions")), store)


def test_a_task_that_is_not_in_the_study_is_refused(folder):
    with pytest.raises(UsageError, match=r"data\.tasks names tuluif, but the study's tasks are arith, gsm8k"):
        load_recipe(recipe_file(folder, tasks={"tuluif": {}}))


def test_the_system_prompt_is_the_same_in_training_and_evaluation(folder, store):
    def prompts(**task):
        plan = plan_study(
            load_recipe(recipe_file(folder, tasks={"gsm8k": {"path": "questions", **task}})), store
        )
        return {
            payload.identity["system_prompt"]
            for payload in plan.stages.values()
            if payload.stage == "data" and payload.identity["task"] == "gsm8k"
        }

    (own,) = prompts()
    assert own is not None
    assert prompts(system_prompt="Count.") == {"Count."}
    assert prompts(system_prompt="") == {None}


def supply(store, task, **data):
    recipe = parse_recipe({"name": "r", "base": "tiny", "task": task, "budgets": [10], "data": data})
    return recipe.data.supplies(recipe.tasks, FrozenRevisions(store.root))[task]


def test_a_recipe_pins_the_task_s_own_datasets(store):
    pinned = supply(store, "gsm8k", options={"revisions": {"openai/gsm8k": COMMIT}})
    assert eval_data(pinned, "test", None).identity.source.revision == COMMIT
    rows = sft_data(pinned, 5, 0).identity
    assert rows.source.revision == "main"
    assert rows.held_out.revision == COMMIT


def test_a_pinned_dataset_must_be_one_of_the_task_s(store):
    with pytest.raises(UsageError, match="revisions names a/b; the task's own datasets here are mohit"):
        supply(store, "gsm8k", options={"revisions": {"a/b": COMMIT}})


def limits(plan):
    return {
        payload.identity["tokens"] and payload.identity["tokens"]["most"]
        for payload in plan.stages.values()
        if payload.stage == "data" and payload.identity["kind"] != "eval"
    }


def test_fit_is_the_shortest_length_of_the_trainings(store):
    def most(**changes):
        content = {
            "name": "r",
            "base": "tiny",
            "task": "arith",
            "budgets": [10],
            "data": {"max_tokens": "fit"},
        }
        return limits(plan_study(parse_recipe({**content, **changes}), store))

    assert most() == {1024}
    assert most(sft={"max_length": 300}) == {300}
    assert most(sft={"max_length": 300}, by_method={"dpo": {"max_length": 200}}) == {200}
    assert most(by_base={"tiny": {"max_length": 90}}) == {90}
    assert most(data={}) == {None}


def test_a_limit_is_a_number_or_fit():
    with pytest.raises(UsageError, match=r"data\.max_tokens"):
        parse_recipe(
            {"name": "r", "base": "tiny", "task": "arith", "budgets": [1], "data": {"max_tokens": "short"}}
        )
