"""Turn a model in GGUF, llama.cpp's single-file format, into a Transformers folder.

Transformers reads GGUF but refuses to save a model that it read from one, so the weights (unpacked to float32 or
bfloat16) go into a fresh model of the same shape. Quantised weights keep the rounding they came with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from budgetctl.errors import UsageError
from budgetctl.models.registry import Precision

_LOADING_NOTES = ("quantization_config", "_name_or_path", "_model_name_or_path")


def unpack_gguf(file: Path, folder: Path, precision: Precision = "float32") -> None:
    """Write the model and tokenizer of a GGUF file as a Transformers folder.

    Args:
        file: A GGUF file of a causal language model.
        folder: Where to write; made if it is not there.
        precision: Of the written weights.

    Raises:
        UsageError: The file is not there or not GGUF.
    """
    import torch  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415
    from transformers import logging as transformers_logging  # noqa: PLC0415

    transformers_logging.disable_progress_bar()
    if not file.is_file() or file.open("rb").read(4) != b"GGUF":
        raise UsageError(f"{file} is not a GGUF file.")
    place: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    packed = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    described = packed.config.to_dict()
    kept = {name: value for name, value in described.items() if name not in _LOADING_NOTES}
    config = AutoConfig.for_model(kept.pop("model_type"), **kept)
    model = AutoModelForCausalLM.from_config(config)
    missing, unexpected = model.load_state_dict(packed.state_dict(), strict=False)
    tied = {name for name in missing if name.endswith("lm_head.weight") and config.tie_word_embeddings}
    if set(missing) - tied or unexpected:
        raise UsageError(
            f"{file} does not hold the weights of its own shape: {sorted({*missing, *unexpected})[:3]} …"
        )
    model.tie_weights()
    model.to(getattr(torch, precision)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
