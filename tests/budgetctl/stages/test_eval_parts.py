"""Instruction following through the eval stage: the numbers of `python -m ifeval`, and every single verdict kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.engines.parts import SCHEMA
from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.stages.eval import EvalIdentity, EvalStage
from budgetctl.study.results import measured
from ifeval.version import SCORER_VERSION
from store import Payload, Store

TULUIF = EvalIdentity(task="tuluif", scorer_version=SCORER_VERSION)
READINGS = ("strict", "loose")

Answers = Mapping[int | str, Sequence[str]]
Publish = Callable[..., EvalStage]


@pytest.fixture(autouse=True)
def nltk_data(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLTK_DATA", str(shared_data / "nltk_data"))


@pytest.fixture
def documents(shared_data: Path) -> list[dict[str, Any]]:
    lines = (shared_data / "ifeval" / "input_data.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def publish(stage_store: Store) -> Publish:
    """Publish prompts and made-up answers to them."""

    def make(documents: Sequence[Mapping[str, Any]], answers: Answers) -> EvalStage:
        rows = [
            {"prompt_id": str(document["key"]), "prompt": [], "reference": json.dumps(document)}
            for document in documents
        ]
        records = [
            {"prompt_id": str(key), "sample": sample, "token_ids": [1], "logprob": -1.0, "text": text,
             "finish_reason": "stop"}
            for key, texts in answers.items() for sample, text in enumerate(texts)
        ]  # fmt: skip
        keys = []
        for stage, name, table in (
            ("data", "eval.parquet", pa.Table.from_pylist(rows)),
            ("gen", "generations.parquet", pa.Table.from_pylist(records, schema=SCHEMA)),
        ):
            payload = Payload(stage, 1, {"task": "tuluif", "texts": json.dumps(table.to_pylist())}, {})
            draft = stage_store.draft(payload)
            pq.write_table(table, draft.files / name)
            keys.append(draft.publish({}, {}).key)
        return EvalStage(TULUIF, keys[1], keys[0])

    return make


def answers_to(documents: Sequence[Mapping[str, Any]], samples: int) -> dict[int, list[str]]:
    """Answers that follow some instructions: the prompt's own words, changed in ways that matter."""
    changes: tuple[Callable[[str], str], ...] = (
        str.lower,
        lambda text: f'"{text.replace(",", "")}"',
        lambda text: f"<<Title>>\n* {text}\n* P.S. [name] ***\n\nMy answer is yes.",
    )
    return {
        document["key"]: [changes[(index + sample) % 3](document["prompt"]) for sample in range(samples)]
        for index, document in enumerate(documents)
    }


def ifeval_says(folder: Path, documents: Sequence[Mapping[str, Any]], answers: Answers) -> dict[str, Any]:
    """What `python -m ifeval --json` prints for the same answers."""
    lines = {
        "prompts": documents,
        "responses": [{"key": key, "responses": texts} for key, texts in answers.items()],
    }
    for name, objects in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in objects))
    command = [
        sys.executable,
        "-m",
        "ifeval",
        "--prompts",
        "prompts.jsonl",
        "--responses",
        "responses.jsonl",
        "--json",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("samples", [1, 2])
def test_the_official_prompts_get_the_numbers_of_the_command(
    run_stage: Callable[..., Any],
    publish: Publish,
    documents: list[dict[str, Any]],
    tmp_path: Path,
    samples: int,
) -> None:
    answers = answers_to(documents, samples)
    artifact = run_stage(publish(documents, answers)).artifact
    said = ifeval_says(tmp_path, documents, answers)
    metrics = artifact.metrics
    assert (metrics["prompts"], metrics["answers"], metrics["parts"]) == (541, 541 * samples, 834 * samples)
    kinds = {
        (row["kind"], row["metric"]): row for row in pq.read_table(artifact.path("kinds.parquet")).to_pylist()
    }
    assert len(kinds) == 50
    for reading in READINGS:
        assert metrics[f"instruction_{reading}"] == said[f"inst_level_{reading}_acc"]
        assert metrics[f"prompt_{reading}"] == said[f"prompt_level_{reading}_acc"]
        for level in ("prompt", "instruction"):
            share, name = said[reading][level], f"{level}_{reading}"
            ends = metrics[f"{name}_low"], metrics[f"{name}_high"]
            assert ends == pytest.approx((share["low"], share["high"]))
        for kind, share in said[reading]["kinds"].items():
            row = kinds[kind, f"instruction_{reading}"]
            assert (row["n"], row["value"]) == (share["n"], share["value"])
            assert (row["low"], row["high"]) == pytest.approx((share["low"], share["high"]))
    shares = [sum(flags) / len(flags) for flags in by_answer(artifact, "instruction_strict").values()]
    assert metrics["instruction_strict"] != pytest.approx(sum(shares) / len(shares), abs=1e-4)


def by_answer(artifact: Any, metric: str) -> dict[tuple[str, int], list[bool]]:
    """(prompt, sample) → the verdicts on its instructions, in their order."""
    found: dict[tuple[str, int], list[bool]] = {}
    for row in pq.read_table(artifact.path("verdicts.parquet")).to_pylist():
        if row["metric"] == metric:
            flags = found.setdefault((row["prompt_id"], row["sample"]), [])
            assert row["part"] == len(flags)
            flags.append(row["value"] == 1)
    return found


def test_every_verdict_is_kept_with_its_instruction(
    run_stage: Callable[..., Any], publish: Publish, documents: list[dict[str, Any]]
) -> None:
    some = documents[:40]
    artifact = run_stage(publish(some, answers_to(some, 2))).artifact
    rows = pq.read_table(artifact.path("verdicts.parquet")).to_pylist()
    for document in some:
        for reading in READINGS:
            parts = [
                row for row in rows
                if row["metric"] == f"instruction_{reading}" and row["prompt_id"] == str(document["key"])
            ]  # fmt: skip
            assert [row["kind"] for row in parts] == 2 * document["instruction_id_list"]
            whole = [
                row["value"] for row in rows
                if row["metric"] == f"prompt_{reading}" and row["prompt_id"] == str(document["key"])
            ]  # fmt: skip
            each = by_answer(artifact, f"instruction_{reading}")
            assert whole == [float(all(each[str(document["key"]), sample])) for sample in range(2)]


def test_items_of_a_metric_of_parts_have_its_mean(
    run_stage: Callable[..., Any], publish: Publish, documents: list[dict[str, Any]]
) -> None:
    """What `report --metric instruction_strict` pairs by prompt must add up to the score it shows."""
    artifact = run_stage(publish(documents, answers_to(documents, 1))).artifact
    for metric in ("instruction_strict", "prompt_strict"):
        found = measured(artifact, with_verdicts=True, metric=metric)
        assert len(found["verdicts"].items) == found["n_items"] == 541
        assert found["verdicts"].values.mean() == pytest.approx(found["score"])
    assert set(found["verdicts"].values) == {0.0, 1.0}


def test_a_reference_without_an_argument_is_refused(run_stage: Callable[..., Any], publish: Publish) -> None:
    document = {
        "key": 1000, "prompt": "p", "instruction_id_list": ["length_constraints:number_words"],
        "kwargs": [{"relation": "at least"}],
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"prompt 1000: .*number_words needs the argument 'num_words'"):
        run_stage(publish([document], {1000: ["one two"]}))


def test_without_nltks_model_a_sentence_says_so(
    run_stage: Callable[..., Any], publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NLTK_DATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there: the download fails at once
    document = {
        "key": 1, "prompt": "p", "instruction_id_list": ["length_constraints:number_sentences"],
        "kwargs": [{"relation": "at least", "num_sentences": 2}],
    }  # fmt: skip
    with pytest.raises(BudgetctlError, match="NLTK_DATA") as told:
        run_stage(publish([document], {1: ["One here. Two there."]}))
    assert told.value.exit_code == 1
