"""The synthetic instruction set: every row obeys or disobeys as its maker says, by the checkers alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ifeval.prompts import Prompt
from ifeval.scoring import Scorer

TRAIN, DEV, TEST = 60, 20, 30
FILES = ("sft", "pref", "dev", "test")


def make(repository: Path, out: Path, *more: object) -> str:
    script = repository / "benchmarks/instruction_set.py"
    options = ("--train", TRAIN, "--dev", DEV, "--test", TEST, *more)
    environment = {name: value for name, value in os.environ.items() if name != "NLTK_DATA"}
    words = [sys.executable, str(script), str(out), *map(str, options)]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def made(repository: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    counts = make(repository, folder, "--gsm8k", shared_data / "gsm8k")
    assert f"| prompts | {TRAIN} | {DEV} | {TEST} |" in counts
    return folder


def test_answers_of_dev_and_test_obey_and_demonstrations_are_the_chosen_ones(made: Path) -> None:
    scorer = Scorer()
    for name, expected in (("dev", DEV), ("test", TEST)):
        rows = rows_of(made, name)
        assert len(rows) == expected
        for row in rows:
            prompt = Prompt.of(row)
            assert 1 <= len(prompt.instructions) <= 3
            assert all(scorer.score(prompt.instructions, row["answer"]).strict), row
    demonstrations, pairs = rows_of(made, "sft"), rows_of(made, "pref")
    assert len(demonstrations) == len(pairs) == TRAIN
    assert [(row["prompt"], row["answer"]) for row in demonstrations] == [
        (row["prompt"], row["chosen"]) for row in pairs
    ]


def test_training_pairs_obey_and_disobey(
    repository: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    from itertools import islice  # noqa: PLC0415

    from instruction_set import problems, rows  # noqa: PLC0415

    scorer, kinds = Scorer(), set()
    for row in islice(rows(3, list(problems(shared_data / "gsm8k/train.jsonl"))), 300):
        instructions = Prompt.of(row).instructions
        kinds |= {instruction.kind for instruction in instructions}
        assert all(scorer.score(instructions, row["answer"]).strict), row
        assert not all(scorer.score(instructions, row["rejected"]).strict), row
    assert len(kinds) == 20
    assert "length_constraints:number_sentences" not in kinds  # its checker needs NLTK's model


def test_splits_share_no_prompt_and_no_problem(made: Path) -> None:
    prompts = {name: {row["prompt"] for row in rows_of(made, name)} for name in FILES}
    assert [len(prompts[name]) for name in FILES] == [TRAIN, TRAIN, DEV, TEST]
    assert prompts["sft"] == prompts["pref"]
    assert not prompts["sft"] & prompts["dev"]
    assert not prompts["sft"] & prompts["test"]
    assert not prompts["dev"] & prompts["test"]


def test_the_set_is_the_same_again_and_its_dev_rows_do_not_hang_on_the_training_rows(
    made: Path, repository: Path, shared_data: Path, tmp_path: Path
) -> None:
    gsm8k = ("--gsm8k", shared_data / "gsm8k")
    make(repository, tmp_path / "again", *gsm8k)
    make(repository, tmp_path / "larger", *gsm8k, "--train", TRAIN + 10)
    make(repository, tmp_path / "other", *gsm8k, "--seed", 1)
    for name in FILES:
        first = (made / f"{name}.jsonl").read_bytes()
        assert (tmp_path / "again" / f"{name}.jsonl").read_bytes() == first
        assert (tmp_path / "other" / f"{name}.jsonl").read_bytes() != first
        assert (tmp_path / "larger" / f"{name}.jsonl").read_bytes().startswith(first)


def test_the_set_needs_no_gsm8k(repository: Path, tmp_path: Path) -> None:
    make(repository, tmp_path)
    assert len(rows_of(tmp_path, "sft")) == TRAIN
