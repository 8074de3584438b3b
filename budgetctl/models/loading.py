"""Load a published base (and its checkpoints) into memory, on one device, in one precision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budgetctl.devices import checked_device
from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.registry import Precision

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory.

    Attributes:
        model: The causal language model, weights frozen, in evaluation mode.
        tokenizer: Its tokenizer.
        device: Where the weights are.
        context_length: Most tokens a sequence may have.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    context_length: int


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that is there.

    Raises:
        UsageError: No device is called so, or a GPU was asked for that is not there.
    """
    import torch  # noqa: PLC0415

    if checked_device(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= gpus:
            seen = (
                "no GPU" if gpus == 0 else "one GPU, cuda:0," if gpus == 1 else f"{gpus} GPUs, from cuda:0,"
            )
            raise UsageError(
                f"Device '{name}' was asked for, but torch sees {seen} here. Use --device cpu or auto."
            )
    return device


def load_base(folder: Path, device: torch.device, precision: Precision, four_bit: bool = False) -> LoadedBase:
    """Load a Transformers folder with frozen weights.

    Args:
        folder: The model.
        device: Where to.
        precision: Of the weights, or of the arithmetic if they are held in four bits.
        four_bit: Hold the weights as 4-bit NormalFloat with doubly quantised constants (Dettmers et al. 2305.14314).

    Raises:
        UsageError: Four bits were asked for without a GPU or without bitsandbytes, or the folder does not hold a causal
            language model that Transformers can read, with weights that are those of its configuration.
    """
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415
    from huggingface_hub.errors import StrictDataclassError  # noqa: PLC0415
    from safetensors import SafetensorError  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    transformers.logging.disable_progress_bar()  # stages have bars of their own
    options: dict[str, Any] = {}
    if four_bit:
        options = {
            "quantization_config": _four_bit_config(device, getattr(torch, precision)),
            "device_map": {"": device},
        }
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, precision), local_files_only=True, low_cpu_mem_usage=True,
            output_loading_info=True, ignore_mismatched_sizes=True, **options,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, SafetensorError, StrictDataclassError) as error:
        raise UsageError(f"{folder} is not a model that Transformers can load: {error}") from error
    _check_weights(folder, model, found)
    model.requires_grad_(False)
    if not four_bit:
        model.to(device)
    model.eval()
    return LoadedBase(model, load_tokenizer(folder), device, context_length(model.config))


def _check_weights(folder: Path, model: Any, found: Mapping[str, Any]) -> None:
    """Refuse a model of which Transformers invented or left out a part.

    Args:
        folder: Where it was loaded from.
        model: The model.
        found: What Transformers says about the weights.
    """
    kinds = {_numberless(name) for name in model.state_dict()}
    problems = [f"{name} is missing" for name in sorted(found["missing_keys"])]
    problems += [
        f"{name} has the shape {tuple(there)} instead of {tuple(wanted)}"
        for name, there, wanted in sorted(found["mismatched_keys"])
    ]
    problems += [
        f"{name} is one too many" for name in sorted(found["unexpected_keys"]) if _numberless(name) in kinds
    ]
    if problems:
        raise UsageError(
            f"The weights in {folder} are not those that its config.json describes: {problems[0]}"
            + (f", and {len(problems) - 1} more" if len(problems) > 1 else "")
            + ". Fetch or convert the model again."
        )


def _numberless(name: str) -> str:
    """A weight's name without its layer's number. One too many of another kind, such as a second head, does no harm."""
    return re.sub(r"\d+", "N", name)


def _four_bit_config(device: torch.device, arithmetic: torch.dtype) -> Any:
    from importlib.util import find_spec  # noqa: PLC0415

    from transformers import BitsAndBytesConfig  # noqa: PLC0415

    if device.type != "cuda":
        raise UsageError("weights: qlora needs a GPU; use weights: lora here, or run on a machine with one.")
    if find_spec("bitsandbytes") is None:
        raise UsageError("weights: qlora needs bitsandbytes: pip install 'budgetctl[gpu]'.")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=arithmetic,
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a Transformers folder.

    Raises:
        BudgetctlError: There is none, or it cannot be read.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise BudgetctlError(f"{folder} has no tokenizer that Transformers can load: {error}") from error


def context_length(config: PretrainedConfig) -> int:
    """Most tokens a sequence may have, as the model's configuration says."""
    text_config: Any = config.get_text_config()
    return int(getattr(text_config, "max_position_embeddings", 0) or 2**20)
