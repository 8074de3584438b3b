"""`eval diff` as a user calls it: what each kind of key stands for, and what cannot be compared."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from eval_study import CPU, SHORT, Study, metrics

from budgetctl.console import SilentReporter
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution
from budgetctl.study.requests import eval_stage
from budgetctl.tasks.gsm8k import Gsm8kTask


def compared(study: Study, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(study.call("eval", "diff", *arguments, "--json")[0])
    return found


def evaluated(study: Study, model: str, *options: str, rows: str = "") -> str:
    return study.call("eval", model, "--data", rows or study.rows, *options, *CPU)[0]


@pytest.fixture
def other_rows(study: Study) -> str:
    """The sums under other names: prompts that no other rows share."""
    table = pq.read_table(study.store.artifact(study.rows).path("eval.parquet")).to_pylist()
    return study.more_rows("test", [{**row, "prompt_id": f"other-{row['prompt_id']}"} for row in table])


def test_two_checkpoints_against_each_other(study: Study) -> None:
    for length in ("6", "4"):
        evaluations = [
            evaluated(study, model, "--max-new-tokens", length) for model in (study.first, study.second)
        ]
    found = compared(study, *evaluations)
    assert found["n"] == 24
    assert found["mcnemar_p"] is not None
    assert found["bootstrap_low"] <= found["difference"] <= found["bootstrap_high"]
    assert found["bootstrap_high"] > found["bootstrap_low"]
    assert compared(study, *(study.store.artifact(key).parents["gen"] for key in evaluations)) == found
    assert compared(study, study.first, evaluations[1]) == found
    assert json.loads(study.call("report", "compare", *evaluations, "--json")[0]) == found
    (error,) = study.call("eval", "diff", study.first, study.second, check=2)
    assert "measured alike in 2 ways" in error
    assert evaluations[0][:12] in error
    evaluated(study, study.base, "--max-new-tokens", "3")
    (error,) = study.call("eval", "diff", study.first, study.base, check=2)
    assert "no evaluations, and no perplexities, of the same kind" in error
    (error,) = study.call("eval", "diff", study.rows, study.first, check=2)
    assert "is a data artifact; give an evaluation, a perplexity, generations or a checkpoint" in error


def test_pass_at_k_makes_no_second_way_to_compare(study: Study) -> None:
    for model in (study.first, study.second):
        for ks in ("1", "1,2"):
            evaluated(
                study,
                model,
                "--decoding",
                "sample-2",
                "--pass-at",
                ks,
                "--max-new-tokens",
                "5",
                "--seed",
                "3",
            )
    keys = [
        one.key
        for one in study.store.artifacts()
        if one.stage == "gen"
        and one.identity["decoding"]["seed"] == 3
        and one.parents.get("checkpoint") == study.first
    ]
    assert compared(study, keys[0], study.second)["n"] == 24


def test_generations_are_scored_first(study: Study) -> None:
    generations = study.call(
        "gen", study.first, study.second, "--data", study.rows, "--max-new-tokens", "7", *CPU
    )
    scored = {one.parents["gen"] for one in study.store.artifacts() if one.stage == "eval"}
    assert scored.isdisjoint(generations)
    assert compared(study, *generations)["n"] == 24
    scored = {one.parents["gen"] for one in study.store.artifacts() if one.stage == "eval"}
    assert scored.issuperset(generations)


def test_evaluations_of_different_prompts_are_refused_unless_asked_for(study: Study, other_rows: str) -> None:
    first = evaluated(study, study.first, "--max-new-tokens", "6")
    second = evaluated(study, study.second, "--max-new-tokens", "6", rows=other_rows)
    (error,) = study.call("eval", "diff", first, second, check=2)
    assert "different prompts (0 of 24 and 24 are shared)" in error
    assert "--unpaired" in error
    found = compared(study, first, second, "--unpaired")
    assert not found["paired"]
    assert found["low"] < found["difference"] < found["high"]
    assert found["high"] - found["low"] > 0.1


def test_verdicts_of_two_scorers_are_not_compared(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    old = evaluated(study, study.first, "--max-new-tokens", "6")
    generation = study.store.artifact(study.store.artifact(old).parents["gen"])
    monkeypatch.setattr(Gsm8kTask, "scorer_version", 2)
    stage = eval_stage(generation, study.store)
    new = execute(stage, study.store, Execution(), SilentReporter()).artifact
    (error,) = study.call("eval", "diff", old, new.key, check=2)
    assert "was scored by version 1 of the gsm8k scorer" in error
    assert f"budgetctl eval diff {generation.key[:12]}" in error


def test_two_perplexities_against_each_other(study: Study) -> None:
    keys = [evaluated(study, model, "--perplexity", "gold") for model in (study.first, study.base)]
    found = compared(study, *keys)
    ratio = metrics(study, keys[0])["perplexity"] / metrics(study, keys[1])["perplexity"]
    assert found["ratio"] == pytest.approx(ratio, rel=1e-9)
    assert found["rows"] == 24
    assert found["low"] < ratio < found["high"] < 1
    assert found["real"]
    assert study.call("eval", "diff", *keys)[-1] == "the first is better"
    assert compared(study, keys[0], study.base) == found
    assert compared(study, study.first, keys[1]) == found


def test_unlike_perplexities_are_refused(study: Study) -> None:
    gold = evaluated(study, study.first, "--perplexity", "gold")
    greedy, longer = (
        evaluated(study, study.second, "--perplexity", "greedy", "--max-new-tokens", length)
        for length in ("6", "9")
    )
    (error,) = study.call("eval", "diff", gold, greedy, check=2)
    assert "is the perplexity of gold answers and" in error
    assert "of generated ones" in error
    (error,) = study.call("eval", "diff", greedy, longer, check=2)
    assert "generated in different ways" in error
    (error,) = study.call("eval", "diff", gold, evaluated(study, study.second, *SHORT[:2]), check=2)
    assert "is a perplexity and" in error
    assert "compare two of a kind" in error
