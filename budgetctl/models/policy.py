"""A model in memory, ready to be trained: an adapter over an unchanged base, or every weight."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.adapters import (
    CONFIG_FILE,
    PARENT,
    TRAINED,
    Adapter,
    check_fits,
    concatenate,
    weights_of,
)
from budgetctl.models.folders import files_of
from budgetctl.models.loading import LoadedBase, load_base

if TYPE_CHECKING:
    import torch

    from budgetctl.models.registry import Precision
    from budgetctl.training.config import LoraSettings

Gather = Callable[["torch.Tensor"], "torch.Tensor"]
"""Makes a tensor that is spread over processes whole."""
Fit = Callable[[Any], None]
"""Changes PEFT's model in place, such as another backend's kernels."""
WEIGHT_FILES = (".safetensors", ".safetensors.index.json")


class Policy(Protocol):
    """What is trained."""

    def gathered(self, gather: Gather) -> Policy:
        """Return the policy with whole weights, for all processes that hold parts of it together."""

    def publish(self, folder: Path) -> int:
        """Write the checkpoint and return its adapter's rank, 0 for full weights."""


@dataclass(frozen=True)
class LoraPolicy:
    """An unchanged base, perhaps a frozen adapter over it, and the adapter that is trained.

    Attributes:
        weights: The trained tensors, by the names PEFT's files use.
        config: The trained adapter's configuration.
        parent: The frozen adapter below it, if there is one.
    """

    weights: Mapping[str, torch.Tensor]
    config: dict[str, Any]
    parent: Adapter | None

    def gathered(self, gather: Gather) -> LoraPolicy:
        """Return the policy with whole weights, for all processes that hold parts of it together."""
        return replace(self, weights={name: gather(weight) for name, weight in self.weights.items()})

    def publish(self, folder: Path) -> int:
        """Write the one adapter over the base that answers as the trained stack does.

        Raises:
            BudgetctlError: Training moved nothing, or left numbers that are none.
        """
        import torch  # noqa: PLC0415

        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.weights.values()):
            raise BudgetctlError(
                "The trained adapter holds values that are not numbers; lower the learning rate."
            )
        if not self.moved:
            raise BudgetctlError("The trained adapter is all zeros: no training step moved it.")
        whole = self.adapter()
        whole.save(folder)
        return whole.rank

    @property
    def moved(self) -> bool:
        """Whether the trained adapter changes anything; a fresh one does not."""
        return any(
            bool(tensor.any())
            for name, tensor in self.weights.items()
            if ".lora_B" in name or ".lora_embedding_B" in name
        )

    def adapter(self) -> Adapter:
        """Return what the policy is now, as one adapter over the base."""
        weights = {name: tensor.detach().cpu().float() for name, tensor in self.weights.items()}
        trained = Adapter(self.config, weights)
        return trained if self.parent is None else concatenate(self.parent, trained)


@dataclass(frozen=True)
class FullPolicy:
    """A model whose every weight is trained.

    Attributes:
        model: The model; its weights are float32 while they train.
        origin: The folder it was loaded from, for the files beside the weights.
        precision: Of the published weights.
        weights: The model's tensors by name, if they are not where the model has them.
    """

    model: Any
    origin: Path
    precision: Precision
    weights: Mapping[str, torch.Tensor] | None = None

    def gathered(self, gather: Gather) -> FullPolicy:
        """Return the policy with whole weights, for all processes that hold parts of it together."""
        whole: dict[int, torch.Tensor] = {}  # tied weights are one tensor under two names
        weights = {}
        for name, weight in self.model.state_dict(keep_vars=True).items():
            if id(weight) not in whole:
                whole[id(weight)] = gather(weight)
            weights[name] = whole[id(weight)]
        return replace(self, weights=weights)

    def publish(self, folder: Path) -> int:
        """Write a whole Transformers folder.

        Raises:
            BudgetctlError: Training left numbers that are none.
        """
        import torch  # noqa: PLC0415

        trained = self.model.state_dict() if self.weights is None else self.weights
        if not all(bool(torch.isfinite(weight).all()) for weight in trained.values()):
            raise BudgetctlError(
                "The trained model holds values that are not numbers; lower the learning rate."
            )
        dtype = getattr(torch, self.precision)
        weights = {name: weight.to(dtype) for name, weight in trained.items()}
        self.model.save_pretrained(folder, state_dict=weights)
        for name, path in files_of(self.origin):
            if not name.endswith(WEIGHT_FILES) and not (folder / name).exists() and name != "config.json":
                shutil.copyfile(path, folder / name)
        return 0


def is_adapter(checkpoint: Path) -> bool:
    """Whether a checkpoint's folder holds an adapter, rather than a whole model."""
    return (checkpoint / CONFIG_FILE).is_file()


def check_start(is_adapter: bool, weights: str) -> None:
    """Refuse to mix full weights and adapters: what a training starts from and what it trains.

    Args:
        is_adapter: Whether the checkpoint to start from holds an adapter, rather than full weights.
        weights: What is to be trained: `lora`, `qlora` or `full`.

    Raises:
        UsageError: One is an adapter and the other is not.
    """
    if is_adapter and weights == "full":
        raise UsageError(
            "weights: full cannot start from a LoRA checkpoint; train that one with weights: full too, or use "
            "weights: lora here."
        )
    if not is_adapter and weights != "full":
        raise UsageError(
            "The checkpoint to start from holds full weights; continue it with weights: full, or start from a LoRA "
            "checkpoint."
        )


def load_full(
    base: Path, parent: Path | None, device: torch.device, precision: Precision
) -> tuple[LoadedBase, FullPolicy]:
    """Load the base, or the full checkpoint to start from, with every weight trainable.

    Raises:
        UsageError: The checkpoint to start from is an adapter.
    """
    if parent is not None:
        check_start(is_adapter(parent), "full")
    loaded = load_base(parent or base, device, "float32")
    loaded.model.requires_grad_(True)
    return loaded, FullPolicy(loaded.model, parent or base, precision)


def new_adapter(
    base: LoadedBase, parent: Path | None, lora: LoraSettings, seed: int, fit: Fit | None = None
) -> LoraPolicy:
    """Put a fresh trainable adapter over the base and, if given, over its frozen parent adapter.

    The fresh adapter's product is exactly zero (B = 0), so the policy starts as base + parent. `fit` is given PEFT's
    model before it is said which weights train.

    Raises:
        UsageError: The parent belongs to another base, or a target module does not exist.
    """
    import torch  # noqa: PLC0415
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    targets = [*lora.targets, *lora.extra_targets]
    names = {name.rsplit(".", 1)[-1] for name, _ in base.model.named_modules()}
    if missing := [target for target in targets if target not in names]:
        raise UsageError(f"This base has no module named {', '.join(missing)} for LoRA to adapt.")
    settings = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )  # fmt: skip
    below = None
    if parent is not None:
        below, model = _load_adapter(base, parent, PARENT)
        torch.manual_seed(seed)
        model.add_adapter(TRAINED, settings)
        model.base_model.set_adapter([PARENT, TRAINED])
    else:
        torch.manual_seed(seed)
        model = get_peft_model(base.model, settings, adapter_name=TRAINED)
    return _trainable(base, model, adapter_config(lora), below, fit)


def continued_adapter(base: LoadedBase, parent: Path, fit: Fit | None = None) -> LoraPolicy:
    """Load the parent's own adapter to be trained on.

    Raises:
        UsageError: The parent belongs to another base.
    """
    adapter, model = _load_adapter(base, parent, TRAINED)
    return _trainable(base, model, dict(adapter.config), None, fit)


def _load_adapter(base: LoadedBase, folder: Path, name: str) -> tuple[Adapter, Any]:
    from peft import PeftModel  # noqa: PLC0415

    check_start(is_adapter(folder), "lora")
    adapter = Adapter.load(folder)
    check_fits(adapter, base.model, "The checkpoint to start from")
    return adapter, PeftModel.from_pretrained(base.model, str(folder), adapter_name=name, is_trainable=False)


def _trainable(
    base: LoadedBase, model: Any, config: dict[str, Any], below: Adapter | None, fit: Fit | None
) -> LoraPolicy:
    if fit is not None:
        fit(model)
    weights = weights_of(model, TRAINED)
    trained = {id(tensor) for tensor in weights.values()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    # Transformers trains a quantised model only if it is told that adapters are inside.
    base.model._hf_peft_config_loaded = True
    return LoraPolicy(weights, config, below)


def adapter_config(lora: LoraSettings) -> dict[str, Any]:
    """Return the part of PEFT's `adapter_config.json` that says what the adapter is."""
    alpha = float(lora.alpha)
    return {
        "base_model_name_or_path": None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": lora.dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": lora.rank,
        "target_modules": sorted({*lora.targets, *lora.extra_targets}),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
