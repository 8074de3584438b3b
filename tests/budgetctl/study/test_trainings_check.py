"""What a plan says against its trainings, before anything runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from budgetctl.__main__ import run
from budgetctl.errors import UsageError
from budgetctl.study.build import plan_study
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import parse_recipe
from budgetctl.study.trainings_check import check_processes
from store import Store

RECIPE = {"name": "a", "base": "tiny", "task": "arith", "budgets": [16], "shares": [1, 0.5, 0]}
FORKS = {"triggers": [{"perplexity": 3.0}], "every": 8}


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., Plan]:
    store = Store.open(tmp_path / "store", create=True)
    return lambda **changes: plan_study(parse_recipe({**RECIPE, **changes}), store)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pft": {"weights": "full"}}, "weights: full cannot start from a LoRA checkpoint"),
        ({"sft": {"weights": "full"}}, "holds full weights; continue it with weights: full"),
        ({"forks": FORKS, "shares": [], "pft": {"weights": "full"}}, "cannot start from a LoRA checkpoint"),
        ({"pft": {"adapter": "continue", "lora": {"rank": 8}}}, "so lora.rank: 8 would do nothing"),
        ({"pft": {"lora": {"dropout": 0.1}}}, "lora.dropout is an option of sft"),
        ({"by_base": {"tiny": {"epoch": 1}}}, "unknown key `epoch`; did you mean `epochs`"),
    ],
)
def test_settings_that_do_not_fit_each_other(
    changes: dict[str, Any], sentence: str, plan_of: Callable[..., Plan]
) -> None:
    with pytest.raises(UsageError) as refused:
        plan_of(**changes)
    assert sentence in str(refused.value)


def test_settings_come_before_the_base(plan_of: Callable[..., Plan]) -> None:
    with pytest.raises(UsageError, match="unknown key `epoch`"):
        plan_of(base="no/such/folder", sft={"epoch": 1})


def test_an_adapter_that_trains_on_has_one_key_whatever_is_repeated_of_its_shape(
    plan_of: Callable[..., Plan],
) -> None:
    shape = {"lora": {"rank": 8, "alpha": 16}}

    def keys(**changes: Any) -> set[str]:
        plan = plan_of(shares=[0.5], sft=shape, **changes)
        return {key for key, payload in plan.stages.items() if payload.stage == "pft"}

    usual = {"lora": {"rank": 32}}
    continued = [keys(pft={"adapter": "continue", **given}) for given in ({}, shape, usual)]
    assert continued[0] == continued[1] == continued[2]
    stacked = [keys(pft=given) for given in ({}, shape, usual)]
    assert stacked[0] == stacked[2] != stacked[1]


def test_the_shape_of_a_new_adapter_stays_where_there_is_none_to_train_on(
    plan_of: Callable[..., Plan],
) -> None:
    shape = {"lora": {"rank": 8}}
    plan = plan_of(sft=shape, pft={"adapter": "continue", **shape})
    ranks = {
        "policy" in payload.parents: payload.identity["settings"]["lora"]["rank"]
        for payload in plan.stages.values()
        if payload.stage == "pft"
    }
    assert ranks == {True: 32, False: 8}


@pytest.mark.parametrize(
    ("changes", "processes", "shard", "sentence"),
    [
        ({"sft": {"batch_size": 9}}, 2, False, "9 rows cannot be split evenly over 2 processes"),
        ({"method": "aot"}, 2, False, "aot compares all rows of a batch"),
        ({"method": "kto", "pft": {"batch_size": 4}}, 4, False, "batch_size of at least 8"),
        ({"pft": {"weights": "qlora"}}, 2, True, "qlora cannot be sharded"),
        ({"forks": FORKS, "shares": []}, 2, True, "needs the whole model in one process"),
        ({}, 1, True, "add --processes N"),
    ],
)
def test_processes_that_a_training_cannot_have(
    changes: dict[str, Any], processes: int, shard: bool, sentence: str, plan_of: Callable[..., Plan]
) -> None:
    plan = plan_of(**changes)
    with pytest.raises(UsageError) as refused:
        check_processes(plan, {}, processes, shard)
    assert sentence in str(refused.value)
    check_processes(plan, dict.fromkeys(plan.stages, True), processes, shard and not plan.branches)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_the_commands_refuse_them(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(json.dumps({**RECIPE, "pft": {"batch_size": 9}}))
    assert run([command, "--grid", str(recipe), "--store", str(tmp_path / "store"), "--processes", "2"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "cannot be split evenly" in said.err


@pytest.mark.parametrize("section", ["eval", "forks"])
def test_adapters_that_vllm_cannot_serve(
    section: str, plan_of: Callable[..., Plan], make_small_base: Callable[..., Path], tmp_path: Path
) -> None:
    qwen = tmp_path / "qwen"
    shutil.copytree(make_small_base("chatml"), qwen)
    config = json.loads((qwen / "config.json").read_text())
    (qwen / "config.json").write_text(json.dumps({**config, "model_type": "qwen2"}))
    before: dict[str, Any] = FORKS if section == "forks" else {}
    asked = {section: {**before, "engine": "vllm"}}
    adapted = {"lora": {"extra_targets": ["embed_tokens", "lm_head"]}}
    for base in (str(qwen), "qwen2-7B"):
        with pytest.raises(
            UsageError, match=r"vllm serves no adapters on embed_tokens and lm_head for .*\(qwen2\)"
        ):
            plan_of(base=base, by_base={base: adapted}, **asked)
        assert plan_of(base=base, **asked)
        assert plan_of(base=base, by_base={base: adapted})
    assert plan_of(base="llama3-8B", by_base={"llama3-8B": adapted}, **asked)
