"""The data command as a user meets it: one key on stdout, one sentence and an exit code when it cannot be."""

from __future__ import annotations

import json
import subprocess

import pyarrow.parquet as pq
import pytest

from store import Store
from tests.e2e.commands import clean_environment


@pytest.fixture
def data(tmp_path, warm_budgetctl):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*warm_budgetctl, "data", *words, "--store", tmp_path / "store"]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)

    return run


def test_the_key_is_all_there_is_on_stdout_and_stays(data, tmp_path):
    first = data("arith", "--size", "5")
    again = data("arith", "--size", "5")
    assert first.returncode == again.returncode == 0
    assert len(first.stdout.strip()) == 64
    assert first.stdout == again.stdout
    assert "found in" in again.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ["arith", "--size", "5", "--max-tokens", "9"],
            2,
            "--max-tokens needs --base: whose tokenizer counts?",
        ),
        (["arith", "--size", "9000"], 1, "arith (train) has 8192 SFT rows, and 9000 are asked for"),
        (["arith"], 2, "--kind sft needs --size"),
        (["arith", "--size", "5", "--set", "habbit=1"], 2, "unknown key `habbit`; did you mean `habit`?"),
        (["arith", "--size", "5", "--set", "habit=2"], 2, "habit"),
        (["gsm8k", "--size", "5", "--path", "nowhere"], 2, "there is no folder nowhere"),
        (["maths", "--size", "5"], 2, "there is no task 'maths'"),
        (["arith", "--tokens", "900"], 2, "--tokens needs --base (whose tokenizer counts?)"),
        (
            ["arith", "--kind", "eval", "--seed", "0"],
            2,
            "no use for --seed here: --kind eval",
        ),
        (
            ["arith", "--kind", "eval", "--base", "x", "--max-tokens", "9"],
            2,
            "no use for --base and --max-tokens here",
        ),
        (["arith", "--kind", "eval", "--tokens", "9"], 2, "no use for --tokens here"),
        (
            ["arith", "--size", "5", "--split", "test"],
            2,
            "no use for --split here: training rows",
        ),
        (["arith", "--size", "5", "--overlap", "shared"], 2, "no use for --overlap here: it is pairs"),
        (["arith", "--size", "5", "--n-sft", "3"], 2, "no use for --n-sft here: it is pairs"),
        (
            ["arith", "--size", "5", "--kind", "pref", "--n-sft", "3"],
            2,
            "no use for --n-sft here: pairs keep apart",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(data, words, code, sentence):
    run = data(*words)
    assert run.returncode == code, run.stderr
    assert sentence in " ".join(run.stderr.split())
    assert run.stdout == ""
    assert "Traceback" not in run.stderr


def test_an_empty_file_of_rows_is_an_error(data, tmp_path):
    (tmp_path / "train.jsonl").write_text("")
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "q", "answer": "#### 1"}) + "\n")
    run = data("gsm8k", "--size", "5", "--path", str(tmp_path))
    assert run.returncode == 1
    assert "gsm8k-files (train) has no SFT rows" in run.stderr


def test_rows_for_so_many_tokens(data, small_base, tmp_path):
    words = ("arith", "--base", str(small_base), "--set", "train=60", "--set", "dev=4", "--set", "test=4")
    few, many = (data(*words, "--tokens", str(tokens)) for tokens in (900, 3000))
    assert few.returncode == many.returncode == 0, few.stderr + many.stderr
    store = Store.open(tmp_path / "store")
    rows = []
    for run, tokens in ((few, 900), (many, 3000)):
        artifact = store.artifact(run.stdout.strip())
        assert artifact.metrics["tokens_spent"] + artifact.metrics["tokens_left_over"] == tokens
        rows.append(pq.read_table(artifact.path("sft.parquet")).to_pylist())
    assert 0 < len(rows[0]) < len(rows[1])
    assert rows[1][: len(rows[0])] == rows[0]
    assert data(*words, "--tokens", "900", "--size", "5").returncode == 2
