"""The data and pairs stages in a real store."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.console import SilentReporter
from budgetctl.data.errors import ShortageError
from budgetctl.data.layouts import schema_of
from budgetctl.data.requests import eval_data, preference_data, sft_data, supply_of
from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.stages.data import DataIdentity, DataStage, TokenLimit
from budgetctl.stages.execute import execute
from budgetctl.stages.pairs import PairsIdentity, PairsStage
from budgetctl.stages.stage import Execution, payload_of
from store import Payload, Store

SMALL = {"train": 300, "dev": 40, "test": 40}


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def supply():
    return supply_of("arith", None, SMALL)


def run(stage, store, sources=None, keep=None):
    outcome = execute(stage, store, Execution(sources=sources or {}), SilentReporter(), keep=keep)
    return outcome.artifact


def rows(artifact, kind):
    table = pq.read_table(artifact.path(f"{kind}.parquet"))
    assert table.schema.remove_metadata() == schema_of(kind)
    return table.to_pylist()


def card(artifact):
    return json.loads(artifact.path("card.json").read_text())


def test_the_four_layouts(store, supply):
    assert len(rows(run(sft_data(supply, 7, 0), store), "sft")) == 7
    pairs = rows(run(preference_data(supply, 6, 0, n_sft=7), store), "pref")
    singles = rows(run(preference_data(supply, 6, 0, n_sft=7, kind="unpaired"), store), "unpaired")
    assert [row["prompt_id"] for row in singles] == [row["prompt_id"] for row in pairs for _ in range(2)]
    assert [row["label"] for row in singles] == [True, False] * 6
    assert [row["completion"] for row in singles[:2]] == [pairs[0]["chosen"], pairs[0]["rejected"]]
    assert len(rows(run(eval_data(supply, "test", None), store), "eval")) == 40


def test_budgets_are_nested_in_files(store, supply):
    sizes = (1, 5, 50, 200)
    taken = [[row["prompt_id"] for row in rows(run(sft_data(supply, n, 3), store), "sft")] for n in sizes]
    for small, large in pairwise(taken):
        assert large[: len(small)] == small


def test_sides_of_a_cell_are_disjoint_and_say_so(store, supply):
    sft = {row["prompt_id"] for row in rows(run(sft_data(supply, 150, 1), store), "sft")}
    artifact = run(preference_data(supply, 60, 1, n_sft=150), store)
    assert not sft & {row["prompt_id"] for row in rows(artifact, "pref")}
    assert card(artifact)["apart_from"] == {"sft_rows": 150, "shared_prompts": 0}


def test_sides_that_cannot_be_disjoint_fail(store, supply):
    with pytest.raises(
        ShortageError, match="overlap: disjoint cannot be kept: 200 preference rows and 290 SFT rows"
    ):
        run(preference_data(supply, 200, 0, n_sft=290), store)
    shared = run(preference_data(supply, 200, 0, n_sft=290, overlap="shared"), store)
    assert len(rows(shared, "pref")) == 200


def test_too_few_rows_fail_with_the_count(store, supply):
    with pytest.raises(ShortageError, match=r"arith \(train\) has 300 SFT rows, and 301 are asked for"):
        run(sft_data(supply, 301, 0), store)


def test_a_worker_reads_a_pool_once_and_cuts_it_alike(store, tmp_path, supply):
    keep = {}
    kept = [rows(run(sft_data(supply, n, 0), store, keep=keep), "sft") for n in (5, 9)]
    assert len([name for name in keep if name.startswith("data pool")]) == 1
    other = Store.open(tmp_path / "other", create=True)
    assert [rows(run(sft_data(supply, n, 0), other), "sft") for n in (5, 9)] == kept


def test_system_prompts_come_first(store, shared_data):
    supply = supply_of("gsm8k", shared_data / "gsm8k")
    artifact = run(sft_data(supply, 3, 0), store, supply.located)
    for row in rows(artifact, "sft"):
        assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
    own = run(sft_data(supply, 3, 0, system_prompt="Hm."), store, supply.located)
    assert {row["messages"][0]["content"] for row in rows(own, "sft")} == {"Hm."}
    assert own.key != artifact.key


def test_a_key_needs_no_file_and_no_row(shared_data, tmp_path):
    supply = supply_of("gsm8k", shared_data / "gsm8k")
    stage = sft_data(supply, 10, 0)
    document = payload_of(stage).document()
    again = Payload.from_document(document)
    assert again.key == payload_of(stage).key
    assert str(shared_data) not in json.dumps(document)
    assert DataStage(DataIdentity.model_validate(again.identity)) == stage


@pytest.mark.parametrize("size", [0, -1])
def test_a_budget_below_one_row_is_refused(supply, size):
    with pytest.raises(UsageError, match=r"size: .*greater than 0"):
        sft_data(supply, size, 0)


def test_rows_too_long_for_the_template_go_before_the_cut(store, supply, small_base):
    base = store.draft(payload := Payload(stage="base", revision=1, identity={"for": "lengths"}, parents={}))
    for path in small_base.iterdir():
        (base.files / path.name).write_bytes(path.read_bytes())
    base.publish({}, {})
    template = Template.named("tiny")
    plain = sft_data(supply, 100, 0).identity

    def stage(most):
        identity = plain.model_copy(update={"tokens": TokenLimit(template=template, most=most)})
        return DataStage(identity, payload.key)

    measured = card(run(stage(None), store))["tokens"]
    assert measured["shortest"] < measured["p50"] < measured["longest"]
    assert sum(measured["histogram"].values()) == 100
    cut_off = measured["p50"]
    limited = run(stage(cut_off), store)
    assert card(limited)["tokens"]["longest"] <= cut_off
    assert card(limited)["left_out"][f"rows longer than {cut_off} tokens"] > 0
    assert len(rows(limited, "sft")) == 100
    with pytest.raises(ShortageError, match="rows longer than 20 tokens"):
        run(stage(20), store)


def test_lengths_without_a_model_are_refused(supply):
    identity = sft_data(supply, 5, 0).identity
    limited = identity.model_copy(update={"tokens": TokenLimit(template=Template.named("tiny"))})
    with pytest.raises(UsageError, match="need a base model"):
        DataStage(limited)


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


def test_verdicts_of_another_scorer_than_planned_are_refused(store, supply):
    prompts = run(eval_data(supply, "train", 30), store)
    identity = PairsIdentity(task="arith", scorer_version=9, kind="pref")
    with pytest.raises(UsageError, match="planned with version 9 of the arith scorer"):
        run(PairsStage(identity, answers_to(store, prompts, supply), prompts.key), store)


def test_the_card_says_what_the_sides_share(store, supply, shared_data):
    overlap = card(run(preference_data(supply, 60, 1, n_sft=150), store))["overlap"]
    assert overlap["prompts"] == {"pref": 60, "sft": 150, "dev": 40, "test": 40}
    for one in overlap["prompts"]:
        for other in overlap["prompts"]:
            shared = overlap["prompts"][one] if one == other else 0
            assert overlap["normalised"][one][other] == overlap["exact"][one][other] == shared


def test_the_card_says_what_was_left_out_for_dev_and_test_and_how_it_was_worded(store, tmp_path):
    asked = [{"q": f"Question {n}?", "r": "1"} for n in range(4)]
    train = [{"q": f"question  {n}?", "a": "one"} for n in range(2)] + [{"q": "Question 2?", "a": "one"}]
    train += [{"q": f"another {n}", "a": "one"} for n in range(5)]
    for name, rows_ in (("train", train), ("test", asked)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_))
    options = {
        "sft": {"files": {"train": ["train.jsonl"]}, "columns": {"prompt": "q", "answer": "a"}},
        "pref": {"files": {"train": ["train.jsonl"]}, "columns": {"prompt": "q"}},
        "eval": {"files": {"test": ["test.jsonl"]}, "columns": {"prompt": "q", "reference": "r"}},
    }
    for name in ("gsm8k-gpt4ogenerations", "gsm8k-gpt4opreferences", "gsm8k"):
        (tmp_path / name).mkdir()
    own = supply_of("gsm8k", tmp_path, options)
    told = card(run(sft_data(own, 5, 0), store, own.located))
    assert told["left_out"] == {"rows with a prompt of dev or test": 3}
    assert told["overlap"]["normalised"]["left out"] == {"sft": 0, "dev": 0, "test": 3, "left out": 3}
    assert told["overlap"]["exact"]["left out"]["test"] == 1
    assert told["overlap"]["normalised"]["sft"]["test"] == 0


def test_an_unpaired_card_records_balanced_weights(store, supply):
    told = card(run(preference_data(supply, 6, 0, kind="unpaired"), store))
    assert told["desirable"] == told["undesirable"] == 6
    assert told["weights"] == {"desirable": 1.0, "undesirable": 1.0}
    assert told["overlap"]["prompts"]["unpaired"] == 6


def test_a_copy_in_the_hub_s_place_is_on_the_record(store, tmp_path):
    rows_ = {
        "gsm8k-gpt4ogenerations/data/train.jsonl": [
            {"prompt": f"q{n}", "correct": ["a", "b"]} for n in range(6)
        ],
        "gsm8k-gpt4opreferences/data/train.jsonl": [{"prompt": "q", "chosen": "c", "rejected": "r"}],
        "gsm8k/main/train.jsonl": [{"question": "q1", "answer": "#### 3"}],
        "gsm8k/main/test.jsonl": [{"question": "t", "answer": "#### 3"}],
    }
    for name, content in rows_.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in content))
    own = supply_of("gsm8k", tmp_path)
    artifact = run(sft_data(own, 4, 0), store, own.located)
    told = card(artifact)["contents"]
    assert set(told) == {"mohit-raghavendra/gsm8k-gpt4ogenerations", "openai/gsm8k"}
    for name, content in told.items():
        assert artifact.metrics[f"content of {name}"] == content
    (tmp_path / "gsm8k-gpt4ogenerations/data/train.jsonl").write_text(
        '{"prompt": "new", "correct": ["a"]}\n' * 9
    )
    with pytest.raises(UsageError, match="gsm8k-gpt4ogenerations has changed"):
        run(sft_data(own, 5, 0), store, own.located)
    assert run(sft_data(own, 4, 0), store, own.located).key == artifact.key
