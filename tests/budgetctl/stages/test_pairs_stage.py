"""The pairs stage in a real store: rows from judged answers."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.data.errors import ShortageError
from budgetctl.data.requests import eval_data, supply_of
from budgetctl.errors import UsageError
from budgetctl.stages.pairs import PairsIdentity, PairsStage
from store import Payload, Store
from tests.budgetctl.stages.data_artifacts import card, rows, run

SMALL = {"train": 300, "dev": 40, "test": 40}


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def supply():
    return supply_of("arith", None, SMALL)


def answers_to(store, prompts, supply):
    """A gen artifact in which a prompt's answers are right, wrong, or both."""
    given = []
    for number, row in enumerate(rows(prompts, "eval")):
        right, wrong = f"#### {row['reference']}", "#### 0"
        for sample, text in enumerate(((right, wrong), (right, right), (wrong, wrong))[number % 3]):
            given.append({"prompt_id": row["prompt_id"], "sample": sample, "text": text, "token_ids": [1],
                          "finish_reason": "stop", "logprob": -1.0})  # fmt: skip
    return publish_answers(store, prompts, given)


def publish_answers(store, prompts, given):
    payload = Payload(stage="gen", revision=1, identity={"made": "up"}, parents={"prompts": prompts.key})
    draft = store.draft(payload)
    pq.write_table(pa.Table.from_pylist(given), draft.files / "generations.parquet")
    draft.publish({}, {})
    return payload.key


@pytest.mark.parametrize(("kind", "count"), [("pref", 10), ("unpaired", 10), ("sft", 20)])
def test_rows_from_judged_answers(store, supply, kind, count):
    prompts = run(eval_data(supply, "train", 30), store)
    gen = answers_to(store, prompts, supply)
    identity = PairsIdentity(task="arith", scorer_version=1, kind=kind, size=None)
    artifact = run(PairsStage(identity, gen, prompts.key), store)
    made = rows(artifact, kind)
    assert card(artifact)["annotations"] == count
    assert len(made) == count * (2 if kind == "unpaired" else 1)
    if kind == "pref":
        assert {row["rejected"][0]["content"] for row in made} == {"#### 0"}
        counted = Counter(card(artifact)["left_out"])
        assert counted == {"prompts without a right answer": 10, "prompts without a wrong answer": 10}
    limited = PairsStage(identity.model_copy(update={"size": count + 1}), gen, prompts.key)
    with pytest.raises(ShortageError, match=f"has {count} "):
        run(limited, store)


def test_the_card_says_where_the_prompts_come_from_and_what_they_share(store, supply):
    prompts = run(eval_data(supply, "train", 30), store)
    identity = PairsIdentity(task="arith", scorer_version=1, kind="pref", size=4)
    told = card(run(PairsStage(identity, answers_to(store, prompts, supply), prompts.key), store))
    of_prompts = card(prompts)
    for name in ("source", "licence", "commits", "contents"):
        assert told[name] == of_prompts[name]
    assert told["overlap"]["prompts"] == {"pref": 4, "asked": 30, "dev": 40, "test": 40}
    for how in ("normalised", "exact"):
        shared = told["overlap"][how]
        assert shared["pref"] == {"pref": 4, "asked": 4, "dev": 0, "test": 0}
        assert shared["test"] == {"pref": 0, "asked": 0, "dev": 0, "test": 40}


@pytest.mark.parametrize("kind", ["pref", "sft"])
def test_answers_that_were_cut_are_never_chosen(store, kind):
    gsm8k = supply_of("gsm8k", None, {})
    own = type(gsm8k)("gsm8k", gsm8k.sft, gsm8k.pref, supply_of("arith", None, SMALL).eval)
    prompts = run(eval_data(own, "train", 9), store)
    given = []
    for number, row in enumerate(rows(prompts, "eval")):
        right = f"#### {row['reference']}"
        answers = [(f"{right} and on and on", "length"), ("#### -1", "stop"), ("so and so", "length")]
        answers += [(right, "stop")] if number % 3 == 0 else []
        for sample, (text, reason) in enumerate(answers):
            given.append({"prompt_id": row["prompt_id"], "sample": sample, "text": text, "token_ids": [1],
                          "finish_reason": reason, "logprob": -float(len(answers) - sample)})  # fmt: skip
    gen = publish_answers(store, prompts, given)
    identity = PairsIdentity(task="gsm8k", scorer_version=1, kind=kind)
    artifact = run(PairsStage(identity, gen, prompts.key), store)
    made = rows(artifact, kind)
    assert len(made) == 3
    chosen = [(row["chosen"] if kind == "pref" else row["messages"])[-1]["content"] for row in made]
    assert not [text for text in chosen if "and on" in text]
    assert {row["rejected"][0]["content"] for row in made if kind == "pref"} <= {"#### -1", "so and so"}
    told = card(artifact)
    assert told["unused_answers"] == {"right answers cut at the length limit": 9}
    assert told["left_out"] == {"prompts without a right answer": 6}


def test_verdicts_of_another_scorer_than_planned_are_refused(store, supply):
    prompts = run(eval_data(supply, "train", 30), store)
    identity = PairsIdentity(task="arith", scorer_version=9, kind="pref")
    with pytest.raises(UsageError, match="planned with version 9 of the arith scorer"):
        run(PairsStage(identity, answers_to(store, prompts, supply), prompts.key), store)
