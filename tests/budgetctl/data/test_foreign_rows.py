"""Rows from files and datasets that others made: every mapping that works."""

from __future__ import annotations

import json

import pytest

from budgetctl.data.columns import Columns
from budgetctl.data.pool import held_out_prompts, load_pool
from budgetctl.data.sources import LocalFiles
from budgetctl.data.sources.files import SetAside
from budgetctl.data.supply import supply_of
from budgetctl.errors import UsageError
from tests.budgetctl.data.foreign_files import COLUMNS, ROWS, read, write
from tests.budgetctl.data.rows import assistant, user

ASIDE = {"dev": 0.2}
REFERENCE = Columns(prompt="q", reference="r")


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path, ending):
    rows = read(write(tmp_path / f"rows.{ending}", ROWS))
    assert rows[3] == {"messages": user("question 3") + assistant("answer 3")}
    assert len(rows) == 40


def test_whole_conversations_keep_their_turns_and_system_message(tmp_path):
    talk = [
        {"role": "system", "content": "Be brief."},
        *user("a"),
        *assistant("b"),
        *user("c"),
        *assistant("d"),
    ]
    path = write(tmp_path / "t.jsonl", [{"talk": talk}])
    assert read(path, Columns(messages="talk")) == [{"messages": talk}]


def test_a_list_of_answers_gives_a_row_each(tmp_path):
    path = write(tmp_path / "t.parquet", [{"q": "one", "a": ["1", "I"]}, {"q": "two", "a": ["2"]}])
    assert [row["messages"][1]["content"] for row in read(path)] == ["1", "I", "2"]


def test_pairs_take_texts_or_the_last_turn_of_conversations(tmp_path):
    columns = Columns(prompt="p", chosen="c", rejected="r", system="s")
    row = {"p": "q", "c": user("q") + assistant("good"), "r": "bad", "s": "Mind."}
    (pair,) = read(write(tmp_path / "t.jsonl", [row]), columns, kind="pref")
    assert pair["prompt"] == [{"role": "system", "content": "Mind."}, *user("q")]
    assert (pair["chosen"], pair["rejected"]) == (assistant("good"), assistant("bad"))


def test_references_of_several_columns_become_one_object_without_empty_values(tmp_path):
    rows = [
        {"prompt": "p", "kwargs": [{"n": 3, "word": None}, {"n": None, "word": "x"}]},
        {"prompt": "q", "kwargs": [{"n": None, "word": "y"}]},
    ]
    columns = Columns(prompt="prompt", reference=("prompt", "kwargs"))
    found = read(write(tmp_path / "t.parquet", rows), columns, kind="eval")
    assert json.loads(found[0]["reference"]) == {"prompt": "p", "kwargs": [{"n": 3}, {"word": "x"}]}


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_rows_without_a_reference_are_left_out_and_counted(tmp_path, ending):
    rows = [{"q": "one", "r": "1"}, {"q": "two", "r": None}, {"q": "three", "r": ""}]
    source, located = LocalFiles.at({"test": [write(tmp_path / f"t.{ending}", rows)]}, REFERENCE)
    pool = load_pool(source, "eval", "test", located)
    assert (len(pool), pool.left_out) == (1, {"rows with an empty text": 2})


def test_a_reference_of_several_columns_may_be_missing_whole(tmp_path):
    rows = [{"q": "one", "r": 1, "s": None}, {"q": "two", "r": None, "s": None}]
    columns = Columns(prompt="q", reference=("r", "s"))
    source, located = LocalFiles.at({"test": [write(tmp_path / "t.jsonl", rows)]}, columns)
    assert load_pool(source, "eval", "test", located).left_out == {"rows with an empty text": 1}


@pytest.mark.parametrize(("value", "text"), [(18, "18"), (0.5, "0.5"), (10**30, "1" + "0" * 30)])
def test_numbers_are_references(tmp_path, value, text):
    (row,) = read(write(tmp_path / "t.jsonl", [{"q": "one", "r": value}]), REFERENCE, "eval")
    assert row["reference"] == text


@pytest.mark.parametrize(("value", "kind"), [(["1", "2"], "list"), ({"answer": "1"}, "dict"), (True, "bool")])
def test_other_references_are_named_with_column_and_row(tmp_path, value, kind):
    path = write(tmp_path / "t.jsonl", [{"q": "one", "r": "1"}, {"q": "two", "r": value}])
    with pytest.raises(
        UsageError, match=rf"t\.jsonl, line 2: column 'r' must hold a text or a number .* a {kind};"
    ):
        read(path, REFERENCE, "eval")


def test_a_reference_that_json_cannot_hold_is_named(tmp_path):
    columns = Columns(prompt="q", reference=("q", "r"))
    path = write(tmp_path / "t.parquet", [{"q": "one", "r": b"1"}])
    with pytest.raises(
        UsageError, match=r"row 1: the columns of the reference hold what JSON cannot: .*bytes"
    ):
        read(path, columns, "eval")


def test_shares_set_aside_by_hash_do_not_depend_on_order(tmp_path):
    columns = Columns(prompt="q", answer="a", reference="a")
    aside = SetAside(dev=0.2, test=0.2)
    forward = write(tmp_path / "f.jsonl", ROWS)
    backward = write(tmp_path / "b.jsonl", ROWS[::-1])
    seen = []
    for split, kind in (("train", "sft"), ("dev", "eval"), ("test", "eval")):
        left, right = (
            {json.dumps(row, sort_keys=True) for row in read(path, columns, kind, split, aside)}
            for path in (forward, backward)
        )
        assert left == right
        seen.append(len(left))
    assert sum(seen) == 40
    assert min(seen) > 2


def test_rows_that_are_set_aside_are_counted_where_they_would_have_trained(tmp_path):
    aside = SetAside(dev=0.2, test=0.2)
    path = write(tmp_path / "t.jsonl", ROWS)
    columns = Columns(prompt="q", answer="a", reference="a")
    source, located = LocalFiles.at({"train": [path]}, columns, aside)
    pool = load_pool(source, "sft", "train", located)
    held_out = [len(read(path, columns, "eval", split, aside)) for split in ("dev", "test")]
    assert pool.left_out == {"rows set aside for dev or test": sum(held_out)}
    assert len(pool) + sum(held_out) == 40
    assert load_pool(source, "eval", "dev", located).left_out == {}


def test_a_file_may_be_train_and_test_file_at_once(tmp_path):
    path = write(tmp_path / "t.jsonl", ROWS)
    columns = Columns(prompt="q", answer="a", reference="a")
    source, located = LocalFiles.at({"train": [path], "test": [path]}, columns)
    assert len(list(source.rows("eval", "test", located))) == 40


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_records_without_any_answer_are_counted(tmp_path, ending):
    rows = [{"q": "one", "a": ["1", "I"]}, {"q": "two", "a": []}, {"q": "three", "a": []}]
    source, located = LocalFiles.at({"train": [write(tmp_path / f"t.{ending}", rows)]}, COLUMNS)
    pool = load_pool(source, "sft", "train", located)
    assert (len(pool), pool.left_out) == (2, {"rows with an empty list of answers": 2})


def test_prompts_of_the_eval_source_never_train_even_if_written_otherwise(tmp_path):
    write(tmp_path / "train.jsonl", [{"q": "What IS\n  one?", "a": "1"}, {"q": "What is two?", "a": "2"}])
    write(tmp_path / "test.jsonl", [{"q": "what is one?", "a": "1"}])
    columns = Columns(prompt="q", answer="a", reference="a")
    source, located = LocalFiles.at(
        {"train": [tmp_path / "train.jsonl"], "test": [tmp_path / "test.jsonl"]}, columns
    )
    pool = load_pool(source, "sft", "train", located, held_out_prompts(source, located))
    assert len(pool) == 1
    assert pool.left_out == {"rows with a prompt of dev or test": 1}


def test_different_answers_to_one_prompt_stay_and_repetitions_go(tmp_path):
    rows = [{"q": "one", "a": "1"}, {"q": "one", "a": "I"}, {"q": "one", "a": "1"}]
    source, located = LocalFiles.at({"train": [write(tmp_path / "t.csv", rows)]}, COLUMNS)
    pool = load_pool(source, "sft", "train", located, folder=tmp_path)
    assert len(pool) == 2
    assert len(set(pool.prompt_ids)) == 1
    assert pool.left_out == {"repeated rows": 1}


def test_a_recipe_names_its_own_files(tmp_path):
    write(tmp_path / "mine.jsonl", ROWS)
    own = {"files": {"train": ["mine.jsonl"]}, "columns": {"prompt": "q", "answer": "a"}}
    supply = supply_of("gsm8k", tmp_path, {"sft": own, "answers": "spread"})
    assert len(list(supply.sft.rows("sft", "train", supply.located))) == 40
    assert supply.answers == "spread"


def test_own_files_may_be_called_like_gsm8ks(tmp_path):
    write(tmp_path / "train.jsonl", ROWS)
    columns = {"prompt": "q", "answer": "a", "reference": "a", "chosen": "a", "rejected": "q"}
    own = {"files": {"train": ["train.jsonl"]}, "columns": columns}
    supply = supply_of("gsm8k", tmp_path, {"sft": own, "pref": own, "eval": {**own, "set_aside": ASIDE}})
    assert isinstance(supply.eval, LocalFiles)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sft": {"columns": {"prompt": "q"}}}, "say either `hub: OWNER/NAME` or `files:"),
        ({"sft": {"hub": "no-owner", "columns": {"prompt": "q"}}}, "repository"),
        ({"sft": {"hub": "a/b", "columns": {}}}, "name the column of the messages or of the prompt"),
        ({"sfd": {}}, "did you mean `sft`"),
        ({"answers": "apart"}, "together"),
        (
            {
                "eval": {
                    "files": {"train": ["a.csv"], "dev": ["b.csv"]},
                    "columns": {"prompt": "q"},
                    "set_aside": ASIDE,
                }
            },
            "`files` names dev rows and `set_aside` takes dev rows",
        ),
        (
            {
                "eval": {
                    "hub": "a/b",
                    "splits": {"train": "t", "test": "u", "dev": "v"},
                    "columns": {"prompt": "q"},
                    "set_aside": {"dev": 0.1, "test": 0.1},
                }
            },
            "`splits` names test and dev rows",
        ),
        (
            {"eval": {"files": {"test": ["a.csv"]}, "columns": {"prompt": "q"}, "set_aside": ASIDE}},
            "`set_aside` takes rows out of train rows, and `files` names none",
        ),
    ],
)
def test_bad_options_are_explained(options, message):
    with pytest.raises(UsageError, match=message):
        supply_of("tuluif", None, options)
