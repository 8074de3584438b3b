"""The pairs stage in a real store: rows from judged answers."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.data.errors import ShortageError
from budgetctl.data.requests import eval_data, supply_of
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
