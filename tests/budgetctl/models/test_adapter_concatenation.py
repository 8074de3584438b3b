"""A published adapter answers as the stack it was trained in, to the last digits float32 has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.adapters import Adapter, concatenate
from budgetctl.models.loading import LoadedBase, load_base
from budgetctl.models.policy import LoraPolicy, new_adapter
from budgetctl.training.config import LoraSettings

TEXT = torch.arange(8, 60).unsqueeze(0)


def loaded(folder: Path) -> LoadedBase:
    return load_base(folder, torch.device("cpu"), "float32")


def answer(base: LoadedBase) -> torch.Tensor:
    with torch.no_grad():
        return base.model.eval()(input_ids=TEXT).logits


def disturb(policy: LoraPolicy, seed: int) -> None:
    """Stand in for training: move every tensor."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in policy.weights.values():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.05)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LoraSettings(rank=8, alpha=8), LoraSettings(rank=8, alpha=8)),
        (LoraSettings(rank=8, alpha=16), LoraSettings(rank=4, alpha=3)),
        (
            LoraSettings(rank=8, targets=("q_proj", "up_proj")),
            LoraSettings(rank=4, targets=("v_proj", "up_proj")),
        ),
        (LoraSettings(rank=4, extra_targets=("embed_tokens",)), LoraSettings(rank=4)),
        (
            LoraSettings(rank=4, alpha=6),
            LoraSettings(rank=8, extra_targets=("embed_tokens", "lm_head")),
        ),
    ],
    ids=["same-shape", "other-rank-and-scale", "other-modules", "with-embeddings", "with-the-head"],
)
def test_concatenation_equals_the_stack(
    first: LoraSettings, second: LoraSettings, small_base: Path, tmp_path: Path
) -> None:
    parent = new_adapter(loaded(small_base), None, first, seed=1)
    disturb(parent, 1)
    parent.publish(tmp_path / "parent")
    base = loaded(small_base)
    stack = new_adapter(base, tmp_path / "parent", second, seed=2)
    disturb(stack, 2)
    assert stack.publish(tmp_path / "whole") == first.rank + second.rank
    stacked = answer(base)
    fresh = loaded(small_base)
    bare = answer(fresh)
    reloaded = PeftModel.from_pretrained(fresh.model, tmp_path / "whole")
    with torch.no_grad():
        concatenated = reloaded.eval()(input_ids=TEXT).logits
    assert (concatenated - stacked).abs().max() < 1e-5
    assert (stacked - bare).abs().max() > 1e-2


def test_a_fresh_adapter_changes_nothing(small_base: Path, tmp_path: Path) -> None:
    parent = new_adapter(loaded(small_base), None, LoraSettings(rank=4), seed=1)
    disturb(parent, 1)
    parent.publish(tmp_path / "parent")
    alone = loaded(small_base)
    with torch.no_grad():
        expected = PeftModel.from_pretrained(alone.model, tmp_path / "parent").eval()(input_ids=TEXT).logits
    base = loaded(small_base)
    new_adapter(base, tmp_path / "parent", LoraSettings(), seed=5)
    assert torch.equal(answer(base), expected)


def test_only_the_new_adapter_is_trained(small_base: Path, tmp_path: Path) -> None:
    parent = new_adapter(loaded(small_base), None, LoraSettings(rank=4), seed=1)
    disturb(parent, 1)
    parent.publish(tmp_path / "parent")
    base = loaded(small_base)
    stack = new_adapter(base, tmp_path / "parent", LoraSettings(rank=8), seed=2)
    trained = {id(weight) for weight in stack.weights.values()}
    assert trained == {id(weight) for weight in base.model.parameters() if weight.requires_grad}
    assert {tensor.shape[0] for name, tensor in stack.weights.items() if "lora_A" in name} == {8}


def test_equal_scales_leave_every_number_untouched(small_base: Path, tmp_path: Path) -> None:
    adapters = []
    for seed in (1, 2):
        policy = new_adapter(loaded(small_base), None, LoraSettings(rank=4, alpha=6), seed=seed)
        disturb(policy, seed)
        policy.publish(tmp_path / str(seed))
        adapters.append(Adapter.load(tmp_path / str(seed)))
    whole = concatenate(*adapters)
    assert (whole.config["r"], whole.config["lora_alpha"]) == (8, 12)
    for name, tensor in whole.weights.items():
        dim = 0 if "lora_A" in name else 1
        assert torch.equal(tensor, torch.cat([adapter.weights[name] for adapter in adapters], dim=dim))


def test_an_adapter_of_another_base_is_refused(make_small_base: Callable[..., Path], tmp_path: Path) -> None:
    policy = new_adapter(loaded(make_small_base(hidden=48)), None, LoraSettings(rank=4), seed=1)
    disturb(policy, 1)
    policy.publish(tmp_path / "other")
    with pytest.raises(UsageError, match="another base"):
        new_adapter(loaded(make_small_base()), tmp_path / "other", LoraSettings(rank=4), seed=1)


def test_an_untrained_adapter_is_not_published(small_base: Path, tmp_path: Path) -> None:
    policy = new_adapter(loaded(small_base), None, LoraSettings(rank=4), seed=1)
    with pytest.raises(BudgetctlError, match="all zeros"):
        policy.publish(tmp_path / "out")


def test_a_missing_module_is_named(small_base: Path) -> None:
    with pytest.raises(UsageError, match="c_attn"):
        new_adapter(loaded(small_base), None, LoraSettings(targets=("q_proj", "c_attn")), seed=1)


def test_a_folder_without_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BudgetctlError, match="no LoRA adapter"):
        Adapter.load(tmp_path)
