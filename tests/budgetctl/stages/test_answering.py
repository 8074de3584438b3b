"""How many engines answer, and what a worker keeps between stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from budgetctl.engines.kept import close_engines
from budgetctl.engines.parallel import ParallelEngine
from budgetctl.engines.protocol import Decoding
from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.stages.answering import devices, kept_last
from budgetctl.stages.gen import GenIdentity, GenStage

VLLM = GenIdentity(template=Template.named("tiny"), decoding=Decoding(max_new_tokens=4), engine="vllm")


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")


@pytest.mark.usefixtures("one_gpu")
def test_engines_are_dealt_to_gpus() -> None:
    assert devices("cuda:0", 1) == ["cuda:0"]
    assert devices("auto", 1) == ["auto"]
    assert devices("cpu", 2) == ["cpu", "cpu"]
    with pytest.raises(UsageError, match="needs as many GPUs, and this process sees 1"):
        devices("auto", 2)


def test_engines_side_by_side_answer_every_prompt(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stand_in: Path
) -> None:
    keep: dict[str, object] = {}
    stage = GenStage(VLLM, base=base_key, prompts=publish_rows("eval.parquet"))
    made = run_stage(stage, execution={"engines_per_gpu": 3}, keep=keep).artifact
    assert made.metrics["answers"] == made.metrics["prompts"] == 24
    starts = [json.loads(line) for line in (stand_in / "starts.jsonl").read_text().splitlines()]
    assert len(starts) == 3
    assert any(isinstance(held, ParallelEngine) for held in keep.values())
    close_engines(keep)


def test_only_the_last_thing_made_in_a_slot_is_kept() -> None:
    keep: dict[str, object] = {}
    made: list[str] = []

    def ask(name: str) -> str:
        return kept_last(keep, "slot", (name, 1), lambda: made.append(name) or name * 2)  # type: ignore[func-returns-value]

    assert [ask(name) for name in ("a", "a", "b", "b", "a")] == ["aa", "aa", "bb", "bb", "aa"]
    assert made == ["a", "b", "a"]
    assert len(keep) == 1
