"""A base with its adapters in memory, ready to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.adapters import PARENT, TRAINED, Adapter, check_fits, concatenate, weights_of

if TYPE_CHECKING:
    import torch

    from budgetctl.models.loading import LoadedBase
    from budgetctl.training.config import LoraSettings


@dataclass(frozen=True)
class LoraPolicy:
    """An unchanged base, perhaps a frozen adapter over it, and the adapter that is trained.

    Attributes:
        weights: The trained tensors, by the names PEFT's files use.
        config: The trained adapter's configuration.
        parent: The frozen adapter below it, if there is one.
    """

    weights: dict[str, torch.nn.Parameter]
    config: dict[str, Any]
    parent: Adapter | None

    def publish(self, folder: Path) -> Adapter:
        """Write the one adapter over the base that answers as the trained stack does.

        Raises:
            BudgetctlError: Training moved nothing, or left numbers that are none.
        """
        import torch  # noqa: PLC0415

        ups = [
            tensor
            for name, tensor in self.weights.items()
            if ".lora_B" in name or ".lora_embedding_B" in name
        ]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.weights.values()):
            raise BudgetctlError(
                "The trained adapter holds values that are not numbers; lower the learning rate."
            )
        if not any(bool(tensor.any()) for tensor in ups):
            raise BudgetctlError("The trained adapter is all zeros: no training step moved it.")
        trained = Adapter(self.config, {name: tensor.detach().cpu() for name, tensor in self.weights.items()})
        whole = trained if self.parent is None else concatenate(self.parent, trained)
        whole.save(folder)
        return whole


def new_adapter(base: LoadedBase, parent: Path | None, lora: LoraSettings, seed: int) -> LoraPolicy:
    """Put a fresh trainable adapter over the base and, if given, over its frozen parent adapter.

    The fresh adapter's product is exactly zero (B = 0), so the policy starts as base + parent.

    Raises:
        UsageError: The parent belongs to another base, or a target module does not exist.
    """
    import torch  # noqa: PLC0415
    from peft import LoraConfig, PeftModel, get_peft_model  # noqa: PLC0415

    targets = [*lora.targets, *lora.extra_targets]
    names = {name.rsplit(".", 1)[-1] for name, _ in base.model.named_modules()}
    if missing := [target for target in targets if target not in names]:
        raise UsageError(f"This base has no module named {', '.join(missing)} for LoRA to adapt.")
    settings = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )  # fmt: skip
    below = None
    if parent is not None:
        below = Adapter.load(parent)
        check_fits(below, base.model, "The checkpoint to start from")
        model = PeftModel.from_pretrained(base.model, str(parent), adapter_name=PARENT, is_trainable=False)
        torch.manual_seed(seed)
        model.add_adapter(TRAINED, settings)
        model.base_model.set_adapter([PARENT, TRAINED])
    else:
        torch.manual_seed(seed)
        model = get_peft_model(base.model, settings, adapter_name=TRAINED)
    weights = weights_of(model, TRAINED)
    trained = {id(tensor) for tensor in weights.values()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    return LoraPolicy(weights, adapter_config(lora), below)


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
