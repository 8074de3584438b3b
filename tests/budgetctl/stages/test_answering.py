"""How many engines answer, and what a worker keeps between stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from budgetctl.engines import together
from budgetctl.engines.gpus import Memory
from budgetctl.engines.kept import close_engines
from budgetctl.engines.parallel import ParallelEngine
from budgetctl.engines.protocol import Decoding
from budgetctl.engines.together import MOST_FOR_ONE, MOST_PER_GPU
from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.stages.answering import devices, engine_of, kept_last
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.stage import Execution
from store import Store

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


@pytest.mark.parametrize(("side_by_side", "engines"), [(False, MOST_FOR_ONE), (True, MOST_PER_GPU)])
@pytest.mark.usefixtures("one_gpu")
def test_more_engines_where_several_generations_may_come(
    stage_store: Store, base_key: str, monkeypatch: pytest.MonkeyPatch, side_by_side: bool, engines: int
) -> None:
    monkeypatch.setattr(together, "gpu_memory", lambda _: Memory(80_000, 81_000))
    monkeypatch.setattr(together, "free_memory_mib", lambda: None)
    keep: dict[str, object] = {}
    context: Any = SimpleNamespace(
        execution=Execution(threads=32, side_by_side=side_by_side), keep=keep,
        parents={"base": stage_store.artifact(base_key)},
    )  # fmt: skip
    engine = engine_of(context, "vllm", "bfloat16")
    assert isinstance(engine, ParallelEngine)
    assert engine.size == engines
    close_engines(keep)


def test_only_the_last_thing_made_in_a_slot_is_kept() -> None:
    keep: dict[str, object] = {}
    made: list[str] = []

    def ask(name: str) -> str:
        return kept_last(keep, "slot", (name, 1), lambda: made.append(name) or name * 2)  # type: ignore[func-returns-value]

    assert [ask(name) for name in ("a", "a", "b", "b", "a")] == ["aa", "aa", "bb", "bb", "aa"]
    assert made == ["a", "b", "a"]
    assert len(keep) == 1
