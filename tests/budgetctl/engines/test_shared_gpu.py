"""Several vLLM processes on one GPU: how many, what each takes, and who gets work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_several_engines import found

from budgetctl.engines.gpus import Memory
from budgetctl.engines.parallel import ParallelEngine
from budgetctl.engines.protocol import Decoding, Prompt
from budgetctl.engines.shares import MOST, WEIGHTS_SHARE, cache_mib, processes_per_gpu
from budgetctl.engines.vllm import VllmEngine
from budgetctl.errors import BudgetctlError
from budgetctl.stages.answering import vllm_processes

H100 = Memory(80_000, 81_559)
PROMPTS = [Prompt(f"p{n}", (5, 6, 7 + n)) for n in range(10)]
DRIVER = """#!/bin/sh
case "$*" in *compute-apps*) exit 0;; esac
echo "80000, 81559"
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `nvidia-smi` of one H100."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(DRIVER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


@pytest.mark.parametrize(
    ("weights_mib", "cores", "expected"),
    [(260, 16, 4), (2_500, 16, 4), (2_500, 4, 2), (2_500, 1, 1), (6_400, 16, 3), (16_000, 16, 1)],
    ids=["135M", "1B", "1B, four cores", "1B, one core", "3B", "8B"],
)
def test_small_models_share_a_gpu(weights_mib: float, cores: int, expected: int) -> None:
    assert processes_per_gpu(weights_mib, H100, cores) == expected


def test_unknown_memory_is_not_shared() -> None:
    assert processes_per_gpu(260, None, 16) == 1


@given(weights=st.floats(1, 200_000), total=st.floats(8_000, 200_000), cores=st.integers(1, 256))
def test_copies_leave_room(weights: float, total: float, cores: int) -> None:
    count = processes_per_gpu(weights, Memory(total, total), cores)
    assert 1 <= count <= MOST
    assert count == 1 or count * weights <= WEIGHTS_SHARE * total


def test_a_share_that_is_too_small_is_refused() -> None:
    assert cache_mib(20_000, 260) == pytest.approx(20_000 - 260 - 4096)
    with pytest.raises(BudgetctlError, match="A share of 4500 MiB of this GPU is too little"):
        cache_mib(4500, 260)


def test_work_starts_as_many_as_it_is_worth(
    driver: None, stand_in: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = [VllmEngine(small_base, "cuda", "bfloat16", share=0.25) for _ in range(4)]
    engine = ParallelEngine(engines, enough=4)
    try:
        assert len(found(engine.generate(PROMPTS[:4], Decoding(max_new_tokens=3), (2,), None))) == 4
        assert [one.starts for one in engines] == [1, 0, 0, 0]
        assert len(found(engine.generate(PROMPTS, Decoding(max_new_tokens=3), (2,), None))) == 10
        assert [one.starts for one in engines] == [1, 1, 1, 0]
    finally:
        engine.close()
    starts = [json.loads(line) for line in (stand_in / "starts.jsonl").read_text().splitlines()]
    for options in starts:
        share = options["gpu_memory_utilization"]
        assert share == pytest.approx(0.25 * (80_000 / 81_559 - 0.06), abs=1e-3)
        assert options["kv_cache_memory_bytes"] < share * 81_559 * 2**20


def test_a_stage_asks_the_driver_and_the_cores(
    driver: None, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    assert vllm_processes(small_base, ["auto"]) == 4
    assert vllm_processes(small_base, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]) == 2
    assert vllm_processes(small_base, ["cpu"]) == 1
