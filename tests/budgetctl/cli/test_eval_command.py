"""`gen` and `eval` as a user calls them, over a small random model and sums."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from eval_study import CPU, SHORT, Study, metrics
from typer.testing import CliRunner


def test_a_checkpoint_answers_first_and_pass_at_k_is_reported(study: Study) -> None:
    options = ("--data", study.rows, "--samples", "4", "--pass-at", "1,4,2", *SHORT)
    (key,) = study.call("eval", study.first, *options)
    found = metrics(study, key)
    assert (found["prompts"], found["answers"]) == (24, 96)
    assert found["strict_pass@4_low"] <= found["strict_pass@4"] <= found["strict_pass@4_high"]
    generation = study.store.artifact(study.store.artifact(key).parents["gen"])
    assert generation.identity["decoding"]["temperature"] == 1.0
    assert study.call("eval", study.first, *options) == [key]
    (again,) = study.call("eval", generation.key, "--pass-at", "1,2,4")
    assert again == key
    assert json.loads(study.call("eval", generation.key, "--json")[0])["answers"] == 96


def test_too_few_answers_for_k(study: Study) -> None:
    (generation,) = study.call("gen", study.first, "--data", study.rows, "--decoding", "sample-2", *SHORT)
    (error,) = study.call("eval", generation, "--pass-at", "1,4", check=2)
    assert "pass@4 needs at least 4 answers" in error
    assert "has 2" in error
    (error,) = study.call(
        "eval", study.first, "--data", study.rows, "--pass-at", "8", "--samples", "4", check=2
    )
    assert "add --samples 8" in error
    for decoding, advice in (("sample-2", "say --decoding sample-4"), ("paper", "add --samples 4")):
        options = ("--data", study.rows, "--decoding", decoding, "--pass-at", "4", *SHORT)
        (error,) = study.call("eval", study.first, *options, check=2)
        assert f"pass@4 needs at least 4 answers a prompt; {advice}" in error
    followed = ("--data", study.rows, "--decoding", "sample-4", "--pass-at", "4", *SHORT)
    assert metrics(study, study.call("eval", study.first, *followed)[0])["answers"] == 96


@pytest.mark.parametrize("text", ["1,x", "0", "-1", "1.5"])
def test_k_must_be_whole_numbers(study: Study, text: str) -> None:
    (error,) = study.call("eval", study.first, "--pass-at", text, check=2)
    assert "whole numbers above 0" in error


def test_perplexity_of_gold_and_of_greedy_answers(study: Study) -> None:
    (gold,) = study.call("eval", study.first, "--data", study.rows, "--perplexity", "gold", *CPU)
    assert metrics(study, gold)["answers"] == "gold"
    (greedy,) = study.call("eval", study.first, "--data", study.rows, "--perplexity", "greedy", *SHORT)
    generation = study.store.artifact(greedy).parents["gen"]
    assert metrics(study, greedy)["perplexity"] < metrics(study, gold)["perplexity"]
    assert study.call("eval", generation, "--perplexity", "greedy", *CPU) == [greedy]
    assert study.call("eval", generation, "--perplexity", "gold", *CPU) == [gold]
    (sampled,) = study.call("gen", study.first, "--data", study.rows, "--decoding", "sample-2", *SHORT)
    (error,) = study.call("eval", sampled, "--perplexity", "greedy", check=2)
    assert "temperature 1, not greedily" in error
    for option in (("--pass-at", "1"), ("--samples", "2"), ("--decoding", "paper")):
        (error,) = study.call("eval", study.first, "--perplexity", "greedy", *option, check=2)
        assert "leave --pass-at, --samples and --decoding out" in error


def test_several_models_share_one_engine(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    import budgetctl.engines.transformers as engines  # noqa: PLC0415

    loaded = engines.load_base
    monkeypatch.setattr(engines, "load_base", lambda *a: started.append("base") or loaded(*a))
    models = (study.base, study.first, study.second)
    keys = study.call("gen", *models, "--data", study.rows, "--max-new-tokens", "5", "--device", "cpu")
    assert len(set(keys)) == 3
    assert started == ["base"]


def test_several_models_share_one_vllm(study: Study, stand_in: Path) -> None:
    """One start, for the largest rank among them, and a perplexity through the same engine."""
    models = (study.base, study.first, study.second)
    options = ("--data", study.rows, "--engine", "vllm", *SHORT)
    keys = study.call("gen", *models, *options)
    texts = {
        tuple(pq.read_table(study.store.artifact(key).path("generations.parquet"))["text"].to_pylist())
        for key in keys
    }
    assert len(texts) == 3
    (start,) = (json.loads(line) for line in (stand_in / "starts.jsonl").read_text().splitlines())
    assert start["max_lora_rank"] == 8
    assert study.call("gen", *models, *options) == keys
    (scored,) = study.call(
        "eval", study.first, "--data", study.rows, "--engine", "vllm", "--perplexity", "gold", *CPU
    )
    assert study.store.artifact(scored).identity["engine"] == "vllm"


def test_a_key_that_begins_like_no_artifact(study: Study) -> None:
    code, out, _ = study.outcome("eval", "0123456789abcdef" * 4)
    assert (code, out) == (3, "")


@pytest.mark.parametrize("command", ["eval", "gen"])
def test_what_looks_like_a_key_may_be_one_or_a_model(study: Study, command: str) -> None:
    unknown = "deadbeef"
    assert not any(artifact.key.startswith(unknown) for artifact in study.store.artifacts())
    (error,) = study.call(command, unknown, "--data", study.rows, check=3)
    assert f"no key in {study.store.root} begins with '{unknown}'" in error
    assert f"there is no base model '{unknown}': no such folder" in error
    (error,) = study.call(command, "no-model", "--data", study.rows, check=2)
    assert "no key" not in error


def test_rows_of_ones_own_without_a_prompt_that_is_too_long(study: Study, tmp_path: Path) -> None:
    """What the refusal advises."""

    def rows(*questions: str) -> str:
        file = tmp_path / f"{len(questions)}.jsonl"
        file.write_text("".join(json.dumps({"q": question, "a": "2"}) + "\n" for question in questions))
        columns = (
            "--set",
            "eval.columns.prompt=q",
            "--set",
            "eval.columns.reference=a",
            "--system-prompt",
            "",
        )
        made = study.call(
            "data", "gsm8k", "--kind", "eval", "--offline", "--set", f"eval.files.test=[{file}]", *columns
        )
        return made[0]

    (error,) = study.call("eval", study.first, "--data", rows("1+1?", "1+" * 300), *SHORT, check=2)
    assert "no room for an answer, however short" in error
    assert "budgetctl data TASK --kind eval --set eval.files.test=[FILE]" in error
    study.call("eval", study.first, "--data", rows("1+1?"), *SHORT)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--split", "dev"), "--split"),
        (("--engine", "vllm"), "--engine"),
        (("--decoding", "paper", "--size", "2"), "--size, --decoding"),
        (("--task", "arith", "--seed", "5"), "--task, --seed"),
        (("--data", "ROWS"), "--data"),
        (("--samples", "2"), "--samples"),
        (("--max-new-tokens", "6"), "--max-new-tokens"),
        (("--perplexity", "gold", "--split", "dev"), "--split"),
    ],
)
def test_answers_that_are_there_take_no_options_of_others(
    study: Study, options: tuple[str, ...], named: str
) -> None:
    (generation,) = study.call("gen", study.first, "--data", study.rows, *SHORT)
    given = [study.rows if option == "ROWS" else option for option in options]
    (error,) = study.call("eval", generation, *given, check=2)
    assert f"{generation} names generations, whose answers are there" in error
    assert f"leave {named} out" in error


@pytest.mark.parametrize("command", ["eval", "gen"])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--size", "2"), "--size"),
        (("--split", "test"), "--split"),
        (("--task", "arith"), "--task"),
        (("--path", ".", "--split", "dev"), "--split, --path"),
    ],
)
def test_named_rows_take_no_description(
    study: Study, command: str, options: tuple[str, ...], named: str
) -> None:
    (error,) = study.call(command, study.first, "--data", study.rows, *options, check=2)
    assert f"--data {study.rows[:12]} says which rows are asked; leave {named} out" in error


@pytest.mark.parametrize("command", ["eval", "gen"])
def test_options_that_contradict_each_other(study: Study, command: str) -> None:
    asked = (command, study.first, "--data", study.rows)
    (error,) = study.call(*asked, "--engine", "vllm", "--batch", "4", check=2)
    assert "vLLM derives its batches itself; leave --batch out" in error
    (error,) = study.call(*asked, "--decoding", "greedy", "--samples", "2", check=2)
    assert "Greedy decoding gives the same answer every time" in error
    if command == "eval":
        (error,) = study.call(*asked, "--perplexity", "gold", "--max-new-tokens", "6", check=2)
        assert "gold answers are not generated; leave --max-new-tokens out" in error


INSTRUCTIONS = ("punctuation:no_comma", "length_constraints:number_words")


def tuluif_rows(study: Study, name: str, *arguments: dict[str, Any]) -> str:
    """Two prompts with two instructions each; `arguments` are those of the second."""
    documents = [
        {"key": key, "prompt": "p", "instruction_id_list": INSTRUCTIONS, "kwargs": [{}, named]}
        for key, named in enumerate(arguments)
    ]
    rows = [
        {"prompt_id": f"p{document['key']}", "prompt": [{"role": "user", "content": "p"}],
         "reference": json.dumps(document)}
        for document in documents
    ]  # fmt: skip
    return study.more_rows(name, rows, task="tuluif")


def test_json_tells_each_kind_of_instruction(study: Study) -> None:
    few = {"relation": "at least", "num_words": 0}
    rows = tuluif_rows(study, "kinds", few, few, few)
    found = json.loads(study.call("eval", study.first, "--data", rows, *SHORT, "--json")[0])
    assert found["parts"] == 6
    assert set(found["kinds"]) == set(INSTRUCTIONS)
    for kinds in found["kinds"].values():
        for reading in ("instruction_strict", "instruction_loose"):
            share = kinds[reading]
            assert share["n"] == 3
            assert share["low"] <= share["value"] <= share["high"]
    strict = [kinds["instruction_strict"]["value"] for kinds in found["kinds"].values()]
    assert found["instruction_strict"] == pytest.approx(sum(strict) / 2)


def test_a_reference_that_cannot_be_read_is_told_in_a_sentence(study: Study) -> None:
    rows = tuluif_rows(study, "lacking", {"relation": "at least"})
    (error,) = study.call("eval", study.first, "--data", rows, *SHORT, check=2)
    assert "prompt 0: length_constraints:number_words needs the argument 'num_words'" in error


def test_what_the_environment_sets_for_every_call_is_no_contradiction(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    (generation,) = study.call("gen", study.first, "--data", study.rows, *SHORT)
    monkeypatch.setenv("BUDGETCTL_EVAL_SCORE_SPLIT", "dev")
    study.call("eval", generation)


def test_cut_answers_are_told(study: Study) -> None:
    """On stderr, by the command that cuts them and by the one that scores them."""
    for command in ("gen", "eval"):
        _, _, told = study.outcome(command, study.first, "--data", study.rows, *SHORT)
        cut = re.search(r"(\d+) of 24 answers cut at 6 tokens", told)
        assert cut is not None
        assert int(cut[1]) > 0
    (answers,) = study.call("gen", study.first, "--data", study.rows, "--max-new-tokens", "100", *CPU)
    if not metrics(study, answers)["truncated"]:
        assert "cut" not in study.outcome("eval", answers)[2]


def test_help_of_both() -> None:
    from budgetctl.cli.app import app  # noqa: PLC0415

    for arguments in (["eval", "--help"], ["eval", "score", "--help"], ["eval", "diff", "--help"]):
        found = CliRunner().invoke(app, arguments)
        assert found.exit_code == 0
        assert "budgetctl eval" in found.output
