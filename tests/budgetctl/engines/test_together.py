"""How many vLLM processes share a GPU, by the model's size, memory and cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from budgetctl.engines import together
from budgetctl.engines.gpus import Memory
from budgetctl.engines.together import MOST_FOR_ONE, SMALL_MIB, engines_per_gpu


def gpu_with(free_gib: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "gpu_memory", lambda _: Memory(free_gib * 1024, 80 * 1024))
    monkeypatch.setattr(together, "free_memory_mib", lambda: None)


@pytest.mark.parametrize(
    ("free_gib", "cores", "engines"),
    [(79, 32, 4), (79, 8, 4), (79, 5, 2), (79, 1, 1), (23, 32, 2), (15, 32, 1)],
)
def test_a_small_model_gets_as_many_as_memory_and_cores_allow(
    free_gib: int, cores: int, engines: int, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_with(free_gib, monkeypatch)
    assert engines_per_gpu(small_base, "auto", cores) == engines
    assert engines_per_gpu(small_base, "cpu", cores) == 1


@pytest.mark.parametrize(
    ("free_gib", "cores", "engines"), [(64, 32, 4), (64, 12, 4), (32, 12, 2), (13, 32, 3), (2, 32, 1)]
)
def test_the_machines_own_memory_counts_too(
    free_gib: int, cores: int, engines: int, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_with(79, monkeypatch)
    monkeypatch.setattr(together, "free_memory_mib", lambda: free_gib * 1024.0)
    monkeypatch.setattr(together, "free_cores", lambda: 32)
    assert engines_per_gpu(small_base, "cuda", cores) == engines


def test_there_are_never_more_than_asked_for(small_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_with(79, monkeypatch)
    assert engines_per_gpu(small_base, "auto", 32, most=MOST_FOR_ONE) == MOST_FOR_ONE


def test_a_larger_model_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_with(79, monkeypatch)
    with (tmp_path / "model.safetensors").open("wb") as weights:
        weights.truncate(int((SMALL_MIB + 1) * 2**20))
    assert engines_per_gpu(tmp_path, "cuda", 32) == 1
