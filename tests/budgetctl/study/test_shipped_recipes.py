"""The recipes that ship with the package expand as they say, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from budgetctl.errors import UsageError
from budgetctl.models import hub
from budgetctl.study.bases import base_request
from budgetctl.study.build import plan_study
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import load_recipe
from store import Store

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    def unreachable(*_: Any, **__: Any) -> None:
        raise AssertionError("a plan of known models must not ask the hub")

    monkeypatch.setattr(hub, "commit_of", unreachable)
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def paper(store: Store) -> Plan:
    return plan_study(load_recipe(RECIPES / "paper.yaml"), store)


def settings(plan: Plan, stage: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for cell in plan.cells:
        if stage in cell.stages:
            found.append({**cell.axes, **plan.stages[cell.stages[stage]].identity["settings"]})
    return found


def test_the_paper_has_every_cell_that_can_be_had(paper: Plan) -> None:
    trained = [cell for cell in paper.cells if cell.axes["method"]]
    per_base_task_and_method = 6 * 5 - 1
    assert len(trained) == 2 * 2 * 2 * per_base_task_and_method
    assert not [cell for cell in trained if (cell.axes["budget"], cell.axes["share"]) == (20_000, 0)]
    assert {cell.axes["n_sft"] + cell.axes["n_pft"] for cell in trained} == {
        100,
        500,
        1000,
        5000,
        10000,
        20000,
    }


def test_the_papers_training_is_the_studys(paper: Plan) -> None:
    sft, pft = settings(paper, "sft"), settings(paper, "pft")
    for used, rate in ((sft, 5e-5), (pft, 5e-6)):
        for cell in used:
            assert (cell["epochs"], cell["batch_size"], cell["max_length"]) == (2, 16, 1024)
            assert cell["optimizer"]["learning_rate"] == rate
            assert (cell["optimizer"]["name"], cell["optimizer"]["weight_decay"]) == ("adamw_8bit", 0.01)
            assert (cell["lora"]["rank"], cell["lora"]["alpha"], cell["lora"]["dropout"]) == (32, 32, 0)
            assert len(cell["lora"]["targets"]) == 7
            extra = ["embed_tokens", "lm_head"] if cell["base"] == "qwen2-7B" else []
            assert cell["lora"]["extra_targets"] == extra
            assert cell["precision"] == "bfloat16"
    assert {cell["loss"] for cell in sft} == {"full"}
    assert {(cell["method"], cell["beta"]) for cell in pft} == {("dpo", 1.0), ("kto", 0.1)}
    generations = [paper.stages[cell.stages["gen"]].identity["decoding"] for cell in paper.cells]
    assert {(each["temperature"], each["top_p"], each["top_k"]) for each in generations} == {(0.5, 0.9, 150)}


def test_the_bases_are_pinned(paper: Plan) -> None:
    sources = {p.identity["source"]["repository"]: p.identity["source"]["commit"]
               for p in paper.stages.values() if p.stage == "base"}  # fmt: skip
    assert sources == {
        "meta-llama/Llama-3.1-8B": "d04e592bb4f6aa9cfee91e2e20afa771667e1d4b",
        "Qwen/Qwen2.5-7B": "d149729398750b98c0af14eb82c78cfe92750796",
    }


@pytest.mark.parametrize("model", ["tiny@main", "llama3-8B@", "nobody", "./folder", "a/b/c"])
def test_what_is_no_base(model: str, store: Store) -> None:
    with pytest.raises(UsageError, match="there is no base model"):
        base_request(model, store)


def test_a_revision_of_a_hub_model(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = base_request("Qwen/Qwen2.5-7B@" + "a" * 40, store).stage.identity.source
    assert (frozen.repository, frozen.commit) == ("Qwen/Qwen2.5-7B", "a" * 40)
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(hub, "commit_of", lambda *given: asked.append(given) or "b" * 40)
    assert base_request("qwen2-7B@main", store).stage.identity.source.commit == "b" * 40
    assert asked == [("Qwen/Qwen2.5-7B", "main", False)]


def test_money_is_split_by_price(store: Store) -> None:
    plan = plan_study(load_recipe(RECIPES / "cost.yaml"), store)
    rows = {
        (cell.axes["budget"], cell.axes["share"]): (cell.axes["n_sft"], cell.axes["n_pft"])
        for cell in plan.cells if cell.axes["method"]
    }  # fmt: skip
    assert rows[120, 1.0] == (300, 0)
    assert rows[120, 0.5] == (150, 600)
    assert rows[60, 0.0] == (0, 600)
