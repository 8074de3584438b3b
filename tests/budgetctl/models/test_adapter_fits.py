"""Whether an adapter belongs to a base, told from the headers of their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from budgetctl.errors import UsageError
from budgetctl.models.adapters import Adapter, check_fits, check_fits_folder
from budgetctl.models.folders import parameter_count, weight_shapes
from budgetctl.models.loading import load_base
from budgetctl.models.policy import new_adapter
from budgetctl.training.config import LoraSettings


def adapter_of(base: Path, folder: Path, settings: LoraSettings) -> Path:
    policy = new_adapter(load_base(base, torch.device("cpu"), "float32"), None, settings, seed=1)
    with torch.no_grad():
        for weight in policy.weights.values():
            weight.add_(0.1)
    policy.publish(folder)
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        LoraSettings(rank=4),
        LoraSettings(rank=2, targets=("q_proj", "down_proj")),
        LoraSettings(rank=4, extra_targets=("embed_tokens", "lm_head")),
    ],
    ids=["projections", "two-of-them", "vocabulary"],
)
def test_an_adapter_fits_its_own_base(settings: LoraSettings, small_base: Path, tmp_path: Path) -> None:
    check_fits_folder(adapter_of(small_base, tmp_path / "adapter", settings), small_base, "It")


def test_both_ways_of_looking_agree_about_strangers(
    make_small_base: Callable[..., Path], small_base: Path, tmp_path: Path
) -> None:
    wider = make_small_base(hidden=48)
    folder = adapter_of(wider, tmp_path / "adapter", LoraSettings(rank=4))
    model = load_base(small_base, torch.device("cpu"), "float32").model
    with pytest.raises(UsageError, match="belongs to another base") as from_files:
        check_fits_folder(folder, small_base, "Checkpoint 12")
    with pytest.raises(UsageError, match="belongs to another base") as from_memory:
        check_fits(Adapter.load(folder), model, "Checkpoint 12")
    assert "has size 96; here it is 64" in str(from_files.value)
    assert str(from_files.value) == str(from_memory.value)


def test_a_module_the_base_has_not(small_base: Path, tmp_path: Path) -> None:
    folder = adapter_of(small_base, tmp_path / "adapter", LoraSettings(rank=4))
    made = Adapter.load(folder)
    deeper = {name.replace("layers.1.", "layers.7."): tensor for name, tensor in made.weights.items()}
    Adapter(made.config, deeper).save(tmp_path / "deeper")
    with pytest.raises(UsageError, match=r"It adapts 'model\.layers\.7\..*', which this base model has not"):
        check_fits_folder(tmp_path / "deeper", small_base, "It")


def test_shapes_come_from_the_headers(small_base: Path) -> None:
    shapes = weight_shapes(small_base)
    assert shapes["model.layers.0.self_attn.q_proj.weight"] == (32, 32)
    model = load_base(small_base, torch.device("cpu"), "float32").model
    assert parameter_count(small_base) == sum(weight.numel() for weight in model.parameters())
