"""LoRA adapters: stack two over an unchanged base, publish their exact concatenation, load one back.

A LoRA layer adds s·B·A·x with s = alpha / rank. Two stacked adapters add s1·B1·A1·x + s2·B2·A2·x, which is one
adapter with A = [A1; A2] and B = [s1·B1, s2·B2]: the rank is r1 + r2 and nothing is rounded, because neither
product is ever formed. Where both scales are equal they stay in `lora_alpha`; otherwise each B takes its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.folders import weight_shapes

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PARENT = "parent"
"""Name of the frozen adapter in a stack."""
TRAINED = "trained"
"""Name of the adapter that is being trained."""


@dataclass(frozen=True)
class Adapter:
    """One adapter's weights as PEFT stores them.

    Attributes:
        config: PEFT's configuration as JSON-able values.
        weights: Tensor name → weights; `…lora_A.weight` is (rank, in), `…lora_B.weight` is (out, rank).
    """

    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]

    @property
    def rank(self) -> int:
        return int(self.config["r"])

    @property
    def scale(self) -> float:
        """What the product B·A is multiplied by: alpha / rank."""
        return float(self.config["lora_alpha"]) / self.rank

    def save(self, folder: Path) -> None:
        """Write the two files PEFT, Transformers and vLLM load."""
        from safetensors.torch import save_file  # noqa: PLC0415

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.weights.items()}
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        text = json.dumps(self.config, indent=2, sort_keys=True)
        (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Adapter:
        """Read an adapter from a folder in PEFT's format.

        Raises:
            BudgetctlError: The folder holds no adapter.
        """
        from safetensors.torch import load_file  # noqa: PLC0415

        try:
            config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            return cls(config, load_file(folder / WEIGHTS_FILE))
        except (OSError, json.JSONDecodeError) as error:
            raise BudgetctlError(f"{folder} holds no LoRA adapter in PEFT's format: {error}") from error


def concatenate(first: Adapter, second: Adapter) -> Adapter:
    """Return the one adapter that adds exactly what both add together.

    Modules that only one of them adapts get zeros in the other's place, so that every module has the same rank,
    as vLLM requires.
    """
    import torch  # noqa: PLC0415

    rank = first.rank + second.rank
    shared_scale = first.scale if first.scale == second.scale else None
    weights: dict[str, torch.Tensor] = {}
    for name in sorted({*first.weights, *second.weights}):
        parts = [
            _part(adapter, name, second if adapter is first else first, shared_scale is not None)
            for adapter in (first, second)
        ]
        weights[name] = torch.cat(parts, dim=0 if _is_down(name) else 1)
    config = dict(second.config)
    config["r"] = rank
    config["lora_alpha"] = _tidy(rank * shared_scale) if shared_scale is not None else rank
    config["target_modules"] = sorted({*first.config["target_modules"], *second.config["target_modules"]})
    return Adapter(config, weights)


def _tidy(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _is_down(name: str) -> bool:
    return ".lora_A" in name or ".lora_embedding_A" in name


def _part(adapter: Adapter, name: str, other: Adapter, scale_is_shared: bool) -> torch.Tensor:
    """Return this adapter's share of one concatenated tensor, its scale folded into B where it must be."""
    import torch  # noqa: PLC0415

    tensor = adapter.weights.get(name)
    if tensor is None:
        shape = list(other.weights[name].shape)
        shape[0 if _is_down(name) else 1] = adapter.rank
        return torch.zeros(shape, dtype=other.weights[name].dtype)
    return tensor if scale_is_shared or _is_down(name) else tensor * adapter.scale


def check_fits(adapter: Adapter, model: PreTrainedModel, what: str) -> None:
    """Refuse an adapter whose shapes are not those of this base.

    Raises:
        UsageError: A module is missing or has another size.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    for name, tensor in adapter.weights.items():
        path = name.removeprefix("base_model.model.").split(".lora_")[0]
        module = modules.get(path)
        if module is None:
            raise UsageError(
                f"{what} adapts '{path}', which this base model has not. It belongs to another base."
            )
        side = "in_features" if _is_down(name) else "out_features"
        size, of = tensor.shape[1 if _is_down(name) else 0], getattr(module, side, None)
        if of is not None and size != of:
            raise UsageError(
                f"{what} was made for a base whose '{path}' has size {size}; here it is {of}. "
                "It belongs to another base."
            )


def check_fits_folder(adapter: Path, base: Path, what: str) -> None:
    """As `check_fits`, from the two folders' headers alone, for engines that hold the model elsewhere.

    Raises:
        UsageError: A module is missing or has another size.
    """
    of_base = weight_shapes(base)
    for name, shape in weight_shapes(adapter).items():
        path = name.removeprefix("base_model.model.").split(".lora_")[0]
        if path == "lm_head" and f"{path}.weight" not in of_base:  # tied to the embeddings
            continue
        weight = of_base.get(f"{path}.weight")
        if weight is None:
            raise UsageError(
                f"{what} adapts '{path}', which this base model has not. It belongs to another base."
            )
        side = 1 if _is_down(name) else 0
        if len(weight) == 2 and "embedding" not in name and shape[side] != weight[side]:
            raise UsageError(
                f"{what} was made for a base whose '{path}' has size {shape[side]}; here it is {weight[side]}. "
                "It belongs to another base."
            )


def weights_of(model: PeftModel, name: str) -> dict[str, torch.nn.Parameter]:
    """Return one adapter's tensors out of a PEFT model, named as PEFT's files name them."""
    weights = {}
    for path, parameter in model.named_parameters():
        parts = path.split(".")
        if name in parts and any(part.startswith("lora_") for part in parts):
            weights[".".join(part for part in parts if part != name)] = parameter
    return weights
