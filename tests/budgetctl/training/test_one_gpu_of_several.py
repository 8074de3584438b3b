"""A training of one process stays on one GPU where several are visible; here they are pretended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from budgetctl.training.arguments import Shape, on_one_gpu, sft_arguments
from budgetctl.training.config import SftSettings


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    made_current: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: made_current.append(str(device)))
    yield made_current
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(("device", "used"), [("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")])
def test_one_of_two(device: str, used: str, two_gpus: list[str], tmp_path: Path) -> None:
    shape = Shape(tmp_path, 1, 1, 1, 0, on_gpu=True, gradient_checkpointing=False, optimizer="adamw_torch")
    untouched, kept = (sft_arguments(SftSettings(), shape) for _ in range(2))
    assert untouched.n_gpu == 2  # what the trainers of TRL refuse
    on_one_gpu(kept, torch.device(device))
    assert kept.n_gpu == 1
    assert kept.device == torch.device(used)
    assert two_gpus[-1] == used
