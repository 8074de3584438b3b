"""`data pairs` as a user meets it: answers are sampled once, whatever is then made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from budgetctl.__main__ import run
from budgetctl.models.encoding import Encoder
from budgetctl.tasks.arith import ArithTask
from store import Store


@pytest.fixture
def pairs(tmp_path: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command over a random model whose answers end at every third token, right when their letters are even."""

    def score(self: Any, text: str, reference: str, truncated: bool) -> dict[str, float]:
        return {"correct": float(len(text) % 2 == 0)}

    monkeypatch.setattr(ArithTask, "score", score)
    monkeypatch.setattr(Encoder, "stop_ids", property(lambda self: tuple(range(0, len(self.tokenizer), 3))))

    def call(*words: str) -> int:
        small = [
            "--set",
            "train=60",
            "--set",
            "dev=4",
            "--set",
            "test=4",
            "--max-new-tokens",
            "6",
            "--device",
            "cpu",
        ]
        start = [
            "data",
            "pairs",
            "--from",
            str(small_base),
            "--source",
            "arith",
            "--samples",
            "4",
            "--prompts",
            "12",
        ]
        return run([*start, *small, "--store", str(tmp_path / "s"), *words])

    return call


def made(tmp_path: Path, stage: str) -> list[Any]:
    return list(Store.open(tmp_path / "s").artifacts(stage))


def test_another_choice_of_rows_needs_no_new_answers(pairs: Any, tmp_path: Path, capsys: Any) -> None:
    keys = []
    for words in (
        ["--rejected", "random"],
        ["--rejected", "hardest"],
        ["--kind", "unpaired"],
        ["--kind", "sft"],
    ):
        assert pairs(*words) == 0
        keys.append(capsys.readouterr().out.strip())
    assert len(set(keys)) == 4
    assert len(made(tmp_path, "gen")) == 1
    store = Store.open(tmp_path / "s")
    rows = pq.read_table(store.artifact(keys[0]).path("pref.parquet")).to_pylist()
    assert rows
    for row in rows:
        assert len(row["chosen"][0]["content"]) % 2 == 0
        assert len(row["rejected"][0]["content"]) % 2 == 1
    best = pq.read_table(store.artifact(keys[3]).path("sft.parquet"))
    assert best.num_rows >= len(rows)


def test_more_pairs_than_there_are_is_an_error_that_counts_them(
    pairs: Any, tmp_path: Path, capsys: Any
) -> None:
    assert pairs("--size", "13") == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "preference pairs" in told
    assert "13 are asked for" in told
    assert len(made(tmp_path, "gen")) == 1


def test_the_engine_and_its_precision_are_part_of_the_answers_key(pairs: Any, tmp_path: Path) -> None:
    assert pairs() == 0
    assert pairs("--precision", "bfloat16") == 0
    assert [answers.identity["precision"] for answers in made(tmp_path, "gen")] != ["float32", "float32"]
    assert len(made(tmp_path, "gen")) == 2


def test_a_bare_base_is_asked_for_the_option_that_there_is(
    tmp_path: Path, small_base: Path, capsys: Any
) -> None:
    assert run(["data", "pairs", "--from", str(small_base), "--store", str(tmp_path / "s")]) == 2
    assert "a base model has no task of its own; say --source arith" in capsys.readouterr().err


def test_best_of_n_rows_take_no_rule_for_the_rejected_answer(pairs: Any, capsys: Any) -> None:
    assert pairs("--kind", "sft", "--rejected", "random") == 2
    assert "no use for --rejected here: best-of-n rows reject nothing" in capsys.readouterr().err


def test_a_batch_for_vllm_is_refused(pairs: Any, capsys: Any) -> None:
    assert pairs("--engine", "vllm", "--batch", "4") == 2
    assert "vLLM derives its batches itself; leave --batch out" in capsys.readouterr().err
