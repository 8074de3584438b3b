"""GSM8K's original files: splits, calculator marks, corrupted steps, and every way a file can be wrong."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from budgetctl.data.pool import held_out_prompts, load_pool
from budgetctl.data.sources import Gsm8kFiles
from budgetctl.data.sources.gsm8k import with_corrupted_step
from budgetctl.errors import UsageError
from budgetctl.tasks import task_named

GOOD = {"question": "One and two?", "answer": "1+2=<<1+2=3>>3 in all.\n#### 3"}


@pytest.fixture
def folder(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(GOOD) + "\n")
    return tmp_path


def read(folder, kind="eval", split="test"):
    source, located = Gsm8kFiles.at(folder)
    return list(source.rows(kind, split, located))


def test_the_published_files(shared_data):
    source, located = Gsm8kFiles.at(shared_data / "gsm8k")
    sizes = {
        (kind, split): len(list(source.rows(kind, split, located)))
        for kind, split in (("sft", "train"), ("eval", "dev"), ("eval", "test"), ("pref", "train"))
    }
    assert sizes["sft", "train"] + sizes["eval", "dev"] == 7473
    assert sizes["eval", "test"] == 1319
    assert 0.04 < sizes["eval", "dev"] / 7473 < 0.06
    assert sizes["pref", "train"] > 6000


def test_gold_answers_carry_no_marks_and_score_full(shared_data):
    task = task_named("gsm8k")
    source, located = Gsm8kFiles.at(shared_data / "gsm8k")
    references = {
        row["prompt"][0]["content"]: row["reference"] for row in source.rows("eval", "train", located)
    }
    for row in source.rows("sft", "train", located):
        question, answer = (turn["content"] for turn in row["messages"])
        assert "<<" not in answer
        assert task.score(answer, references[question], False) == {"strict": 1, "flexible": 1}


def test_dev_and_test_questions_never_train(shared_data):
    source, located = Gsm8kFiles.at(shared_data / "gsm8k")
    pool = load_pool(source, "sft", "train", located, held_out_prompts(source, located))
    assert not set(pool.prompt_ids) & held_out_prompts(source, located)


def test_a_corrupted_step_changes_one_result_and_what_repeats_it():
    answer = "She has 3*4=<<3*4=12>>12 eggs.\nShe sells 2, so 12-2=<<12-2=10>>10 are left.\n#### 10"
    wrongs = {with_corrupted_step(answer, f"salt {salt}") for salt in range(40)}
    assert len(wrongs) > 5
    for wrong in wrongs:
        assert wrong != answer
        assert "<<" not in wrong
        first = int(re.search(r"3\*4=(\d+)", wrong).group(1))
        last = int(re.search(r"-2=(\d+)", wrong).group(1))
        assert (first == 12) != (last == 10)
        assert f"so {first}-2" in wrong
        assert wrong.endswith(f"#### {last}")


def test_a_solution_without_calculations_gives_no_pair_and_is_counted(folder):
    assert with_corrupted_step("It is said in the question.\n#### 4", "x") is None
    told = {"question": "How many of 4?", "answer": "It is said in the question.\n#### 4"}
    many = [{**(GOOD, told)[n % 2], "question": f"Question {n}?"} for n in range(60)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in many))
    source, located = Gsm8kFiles.at(folder)
    dev = len(list(source.rows("eval", "dev", located)))
    pairs, rows = (load_pool(source, kind, "train", located) for kind in ("pref", "sft"))
    assert dev > 0
    assert rows.left_out == {"rows set aside for dev or test": dev}
    lacking = {"questions with no calculation to corrupt": len(rows) - len(pairs)}
    assert pairs.left_out == rows.left_out | lacking
    assert lacking != {"questions with no calculation to corrupt": 0}


def test_a_changed_file_is_refused(folder):
    source, located = Gsm8kFiles.at(folder)
    (folder / "test.jsonl").write_text(json.dumps(GOOD) + "\n\n")
    with pytest.raises(UsageError, match=r"test\.jsonl has changed: its content is .* the plan was made for"):
        list(source.rows("eval", "test", located))


def test_a_file_nobody_located_is_asked_for(folder):
    source, _ = Gsm8kFiles.at(folder)
    with pytest.raises(UsageError, match=r"GSM8K's test\.jsonl with content .* --path"):
        list(source.rows("eval", "test", {}))


def test_moving_the_files_does_not_change_the_source(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(folder, elsewhere)
    assert Gsm8kFiles.at(folder)[0] == Gsm8kFiles.at(elsewhere)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"question": "q", "answer": "#### 3"\n', r"line 2: not valid JSON"),
        (b'["q", "a"]\n', r"line 2: expected an object, found a list"),
        (b'{"question": "q"}\n', r"line 2: there is no column 'answer'; there are question"),
        (b'{"question": 7, "answer": "#### 3"}\n', r"line 2: column 'question' must be a text, found a int"),
        (b'{"question": "q", "answer": "no number"}\n', r"line 2: the answer must end with a line `#### n`"),
        (b'{"question": "\xff", "answer": "#### 3"}\n', r"line 2: not valid UTF-8 \(byte 15 of the line\)"),
    ],
)
def test_a_bad_line_is_named(folder, content, message):
    (folder / "test.jsonl").write_bytes(json.dumps(GOOD).encode() + b"\n" + content)
    with pytest.raises(UsageError, match=r"test\.jsonl, " + message):
        read(folder)


def test_a_missing_folder_and_a_missing_file(folder):
    with pytest.raises(UsageError, match="there is no folder"):
        Gsm8kFiles.at(folder / "nowhere")
    (folder / "train.jsonl").unlink()
    with pytest.raises(UsageError, match=r"there is no file .*train\.jsonl"):
        Gsm8kFiles.at(folder)
