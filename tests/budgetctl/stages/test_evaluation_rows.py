"""Evaluation rows as a data stage prepares them: asked once, scored surely, and dev apart from test."""

from __future__ import annotations

import json

import pytest

from budgetctl.data.errors import ShortageError
from budgetctl.data.requests import eval_data, supply_of
from budgetctl.errors import UsageError
from store import Store
from tests.budgetctl.stages.data_artifacts import card, rows, run


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def own_questions(tmp_path):
    """The supply of a recipe whose eval side has the given rows by split."""

    def make(**splits):
        for split, lines in splits.items():
            (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        files = {split: [f"{split}.jsonl"] for split in splits}
        own = {"files": files, "columns": {"prompt": "q", "reference": "r"}}
        return supply_of("gsm8k", tmp_path, {"eval": own})

    return make


def test_a_reference_that_cannot_be_scored_fails_before_anything_is_asked(store, own_questions):
    lines = [{"q": "How many?", "r": "12"}, {"q": "And how many more?", "r": "none at all"}]
    supply = own_questions(test=lines)
    with pytest.raises(
        UsageError,
        match=r"the files \(test\): the prompt 'And how many more\?' cannot be scored: .* a number, got 'none at all'",
    ):
        run(eval_data(supply, "test", None), store, supply.located)


def test_a_repeated_prompt_is_asked_once_whatever_the_order(store, own_questions):
    lines = [{"q": f"Question {n}?", "r": str(n)} for n in range(4)] + [{"q": "question  2?", "r": "2"}] * 2
    found = []
    for order in (lines, lines[::-1]):
        supply = own_questions(test=order)
        artifact = run(eval_data(supply, "test", None), store, supply.located)
        assert card(artifact)["left_out"] == {"repeated prompts": 1, "repeated rows": 1}
        found.append(
            sorted((row["prompt"][-1]["content"], row["reference"]) for row in rows(artifact, "eval"))
        )
    assert found[0] == found[1]
    assert len(found[0]) == 4


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_prompt_with_two_references_is_refused(store, own_questions, split):
    lines = [{"q": "One and two?", "r": "3"}, {"q": "one and  two?", "r": "4"}]
    supply = own_questions(**{"test": [{"q": "x", "r": "1"}], split: lines})
    with pytest.raises(UsageError, match=r"the prompt 'one and  two\?' has two references, '3' and '4'"):
        run(eval_data(supply, split, None), store, supply.located)


def test_dev_rows_that_are_test_rows_do_not_decide(store, own_questions):
    dev = [{"q": f"Question {n}?", "r": "1"} for n in range(6)]
    test = [{"q": f"question {n}?", "r": "1"} for n in range(4, 9)] + [{"q": "Question 5?", "r": "1"}]
    supply = own_questions(dev=dev, test=test)
    artifact = run(eval_data(supply, "dev", None), store, supply.located)
    assert {row["prompt"][-1]["content"] for row in rows(artifact, "eval")} == {
        f"Question {n}?" for n in range(4)
    }
    told = card(artifact)
    assert told["left_out"] == {"rows with a prompt of test": 2}
    assert told["overlap"]["prompts"] == {"dev": 4, "test": 5, "left out": 2}
    assert told["overlap"]["normalised"]["dev"]["test"] == 0
    assert (
        told["overlap"]["normalised"]["left out"]["test"],
        told["overlap"]["exact"]["left out"]["test"],
    ) == (2, 1)
    with pytest.raises(ShortageError, match=r"has 4 prompts left \(left out: 2 rows with a prompt of test\)"):
        run(eval_data(supply, "dev", 5), store, supply.located)
    assert len(rows(run(eval_data(supply, "test", None), store, supply.located), "eval")) == 5
