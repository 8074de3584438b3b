"""Our side of vLLM against a stand-in for it: restarts, ranks, memory and refusals, without vLLM's start-up time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_transformers_engine import make_adapter

from budgetctl.engines import vllm as boundary
from budgetctl.engines.gpus import Memory, physical_gpu, wait_for_memory
from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Prompt
from budgetctl.engines.vllm import VllmEngine
from budgetctl.errors import BudgetctlError, UsageError

STOP = (2,)
PROMPTS = [Prompt(f"p{n}", (5, 6, 7 + n)) for n in range(80)]
GREEDY = Decoding(max_new_tokens=3)


def starts(stand_in: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (stand_in / "starts.jsonl").read_text().splitlines()]


@pytest.fixture
def engine(stand_in: Path, small_base: Path) -> Iterator[VllmEngine]:
    made = VllmEngine(small_base, "cpu", "float32", 1)
    yield made
    made.close()


def found(batches: Iterator[list[Answer]]) -> dict[str, Answer]:
    return {answer.prompt_id: answer for batch in batches for answer in batch}


def test_one_that_dies_mid_batch_is_started_once_more(engine: VllmEngine, stand_in: Path) -> None:
    (stand_in / "deaths").write_text("1")
    answers = found(engine.generate(PROMPTS, GREEDY, STOP, None))
    assert {name: answer.token_ids[0] for name, answer in answers.items()} == {
        prompt.prompt_id: prompt.ids[-1] for prompt in PROMPTS
    }
    assert engine.starts == 2


def test_one_that_dies_twice_fails_with_its_last_log_lines(engine: VllmEngine, stand_in: Path) -> None:
    (stand_in / "deaths").write_text("2")
    received: list[Answer] = []
    with pytest.raises(
        BudgetctlError, match=r"(?s)vLLM died twice with \d+ answers to go.*ended with 7.*the last words"
    ):
        for batch in engine.generate(PROMPTS, GREEDY, STOP, None):
            received += batch
    assert 0 < len({answer.prompt_id for answer in received}) == len(received) < 80
    assert engine.starts == 2
    assert len(found(engine.generate(PROMPTS[:3], GREEDY, STOP, None))) == 3


def test_one_that_dies_while_it_scores_is_started_once_more(engine: VllmEngine, stand_in: Path) -> None:
    (stand_in / "deaths").write_text("1")
    assert engine.logprobs(PROMPTS[:2], [(9, 4), (77,)], None) == [[-9.0, -4.0], [-77.0]]
    assert engine.starts == 2
    (stand_in / "deaths").write_text("2")
    with pytest.raises(BudgetctlError, match=r"(?s)vLLM died twice with 1 texts to score.*the last words"):
        engine.logprobs(PROMPTS[:1], [(77,)], None)
    assert engine.starts == 3
    assert engine.logprobs(PROMPTS[:1], [(9,)], None) == [[-9.0]]


@pytest.mark.parametrize(("token", "error"), [(98, "ValueError"), (99, "VLLMClientError")])
def test_a_refused_request_leaves_nothing_in_the_queue(engine: VllmEngine, token: int, error: str) -> None:
    """Requests are numbered from 0 each time, so answers to old ones would pass for answers to new ones."""
    with pytest.raises(BudgetctlError, match=f"vLLM refused: {error}: token {token} is out of vocabulary"):
        found(engine.generate([*PROMPTS[:3], Prompt("odd", (5, token))], GREEDY, STOP, None))
    answers = found(engine.generate(PROMPTS[10:12], GREEDY, STOP, None))
    assert {name: answer.token_ids[0] for name, answer in answers.items()} == {"p10": 17, "p11": 18}
    assert engine.starts == 1


def test_a_process_whose_step_failed_is_not_asked_again(engine: VllmEngine) -> None:
    """vLLM counts the request that broke as unfinished for good, and would wait for it in the next one."""
    with pytest.raises(BudgetctlError, match="vLLM refused: ValueError: token 97 came out of a step"):
        found(engine.generate([*PROMPTS[:3], Prompt("odd", (5, 97))], GREEDY, STOP, None))
    answers = found(engine.generate(PROMPTS[10:12], GREEDY, STOP, None))
    assert {name: answer.token_ids[0] for name, answer in answers.items()} == {"p10": 17, "p11": 18}
    assert engine.starts == 2


def test_answers_before_a_refused_wave_are_kept(engine: VllmEngine) -> None:
    received: list[Answer] = []
    with pytest.raises(BudgetctlError, match="token 98 is out of vocabulary"):
        for batch in engine.generate([*PROMPTS[:20], Prompt("odd", (5, 98))], GREEDY, STOP, None):
            received += batch
    assert received
    assert engine.starts == 1


def test_a_sweep_pays_one_start(engine: VllmEngine, small_base: Path, tmp_path: Path, stand_in: Path) -> None:
    adapters = [make_adapter(small_base, tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    texts = {
        adapter.key if adapter else "": found(engine.generate(PROMPTS[:2], GREEDY, STOP, adapter))[
            "p0"
        ].token_ids
        for adapter in (None, *adapters, adapters[0], None)
    }
    assert len(set(texts.values())) == 4
    assert engine.starts == 1
    assert starts(stand_in)[0]["max_lora_rank"] == 64


def test_the_plans_largest_rank_is_served_from_the_start(
    stand_in: Path, small_base: Path, tmp_path: Path
) -> None:
    wide = make_adapter(small_base, tmp_path / "wide", 1).path
    config = (wide / "adapter_config.json").read_text().replace('"r": 4', '"r": 100')
    (wide / "adapter_config.json").write_text(config)
    told, untold = (VllmEngine(small_base, "cpu", "float32", 1, rank=rank) for rank in (100, None))
    for engine in (told, untold):
        for adapter in (make_adapter(small_base, tmp_path / "narrow", 2), AdapterFolder("3" * 64, wide)):
            assert found(engine.generate(PROMPTS[:2], GREEDY, STOP, adapter))
        engine.close()
    assert (told.starts, untold.starts) == (1, 2)
    assert [start["max_lora_rank"] for start in starts(stand_in)] == [128, 64, 128]
    with pytest.raises(UsageError, match=r"The plan's largest adapter has rank 640; vLLM serves at most 512"):
        VllmEngine(small_base, "cpu", "float32", rank=640)


def test_an_adapter_of_another_base_is_refused(
    engine: VllmEngine, make_small_base: Callable[..., Path], tmp_path: Path
) -> None:
    foreign = make_adapter(make_small_base(hidden=48), tmp_path / "foreign", 1)
    with pytest.raises(UsageError, match=r"made for a base whose .* belongs to another base"):
        found(engine.generate(PROMPTS[:2], GREEDY, STOP, foreign))
    assert len(found(engine.generate(PROMPTS[:2], GREEDY, STOP, None))) == 2


def test_a_prompt_as_long_as_the_context_is_refused(engine: VllmEngine) -> None:
    with pytest.raises(UsageError, match=r"'long' has 128 tokens.* longer context, or .*--set eval\.files"):
        found(engine.generate([Prompt("long", (5,) * 128)], GREEDY, STOP, None))
    assert engine.starts == 0


def test_the_context_is_the_models_where_that_is_short(engine: VllmEngine, stand_in: Path) -> None:
    found(engine.generate(PROMPTS[:1], GREEDY, STOP, None))
    assert starts(stand_in)[0]["max_model_len"] == 128


def test_scores_of_answers(engine: VllmEngine) -> None:
    assert engine.logprobs(PROMPTS[:2], [(9, 4), (3,)], None) == [[-9.0, -4.0], [-3.0]]
    assert engine.logprobs([], [], None) == []


SMI = """#!/bin/sh
echo "$*" >> {folder}/asked
case "$*" in *compute-apps*) exit 0;; esac
n=$(cat {folder}/looks 2>/dev/null || echo 0); echo $((n + 1)) > {folder}/looks
case "$n" in 0) echo "80000, 81000";; 1|2|3) echo "9000, 81000";; *) echo "79900, 81000";; esac
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `nvidia-smi` that gives the memory back only at the third look after the first."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return tmp_path


def test_the_end_waits_until_the_gpus_memory_is_back(
    stand_in: Path, driver: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    engine = VllmEngine(small_base, "cuda:1", "bfloat16", share=0.5)
    found(engine.generate(PROMPTS[:2], GREEDY, STOP, None))
    engine.close()
    assert int((driver / "looks").read_text()) == 5
    assert set((driver / "asked").read_text().split()) >= {"--id=6"}
    (options,) = starts(stand_in)
    assert options["gpu_memory_utilization"] == pytest.approx(
        0.5 * (80000 / 81000 - boundary.GPU_RESERVE), abs=1e-3
    )
    assert not options["enforce_eager"]
    share_mib = options["gpu_memory_utilization"] * 81000
    assert options["kv_cache_memory_bytes"] / 2**20 == pytest.approx(
        share_mib - boundary.WORKSPACE_MIB, abs=2
    )


def test_engines_that_start_together_keep_their_part_over_a_restart(
    stand_in: Path, driver: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    engine = VllmEngine(small_base, "cuda", "bfloat16", together=4)
    found(engine.generate(PROMPTS[:2], GREEDY, STOP, None))
    monkeypatch.setattr(
        boundary, "gpu_memory", lambda _: Memory(30_000, 81_000)
    )  # the other three have theirs
    (stand_in / "deaths").write_text("1")
    found(engine.generate(PROMPTS, GREEDY, STOP, None))
    engine.close()
    first, second = (one["gpu_memory_utilization"] for one in starts(stand_in))
    assert first == pytest.approx((80000 / 81000 - boundary.GPU_RESERVE) / 4, abs=1e-3)
    assert second == first
    assert {one["kv_cache_memory_bytes"] for one in starts(stand_in)} == {
        starts(stand_in)[0]["kv_cache_memory_bytes"]
    }


@pytest.mark.parametrize(("named", "expected"), [(None, "home/.triton/cache"), ("elsewhere", "elsewhere")])
def test_compiled_kernels_stay_in_one_place(
    stand_in: Path,
    driver: Path,
    small_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: str | None,
    expected: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("TRITON_HOME", str(stand_in / "home"))
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    if named:
        monkeypatch.setenv("TRITON_CACHE_DIR", str(stand_in / named))
    engine = VllmEngine(small_base, "cuda", "bfloat16")
    found(engine.generate(PROMPTS[:2], GREEDY, STOP, None))
    engine.close()
    assert (stand_in / "kernels").read_text() == str(stand_in / expected)


def test_float32_on_a_gpu_is_refused_before_a_start(
    stand_in: Path, driver: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    engine = VllmEngine(small_base, "auto", "float32")
    with pytest.raises(UsageError, match="adapters in 16 bits only, and this base is used in float32"):
        found(engine.generate(PROMPTS[:2], GREEDY, STOP, None))
    assert not (stand_in / "starts.jsonl").exists()


def test_a_share_too_small_for_any_cache_is_refused(
    stand_in: Path, driver: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    engine = VllmEngine(small_base, "cuda", "bfloat16", share=0.05)
    with pytest.raises(BudgetctlError, match=r"A share of 3[0-9]{3} MiB of this GPU is too little for vLLM"):
        found(engine.generate(PROMPTS[:2], GREEDY, STOP, None))
    engine.close()


def test_memory_that_never_comes_back_ends_the_wait(driver: Path) -> None:
    (driver / "looks").write_text("1")
    assert not wait_for_memory("0", Memory(80000, 81000), patience_s=0.0)


def test_gpus_are_counted_among_the_visible_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    assert [physical_gpu(device) for device in ("auto", "cuda", "cuda:1")] == ["GPU-aa", "GPU-aa", "GPU-bb"]
