"""Base models by short name: the study's seven, one small instruct model, and the embedded `tiny`.

Anything else is a local folder or a hub id; both work wherever a name does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class KnownModel:
    """What a short name stands for.

    Attributes:
        name: The short name.
        repository: Hub id; empty for the embedded model.
        template: Name of the chat template of its family.
        precision: Weights' precision that suits its size.
        gated: Whether the hub asks for an accepted licence.
    """

    name: str
    repository: str
    template: str
    precision: Precision
    gated: bool = False


_MODELS = (
    KnownModel("tiny", "", "tiny", "float32"),
    KnownModel("smollm2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct", "chatml", "float32"),
    KnownModel("llama3-8B", "meta-llama/Llama-3.1-8B", "llama3", "bfloat16", gated=True),
    KnownModel("llama3-3B", "meta-llama/Llama-3.2-3B", "llama3", "bfloat16", gated=True),
    KnownModel("llama3-1B", "meta-llama/Llama-3.2-1B", "llama3", "bfloat16", gated=True),
    KnownModel("qwen2-14B", "Qwen/Qwen2.5-14B", "chatml", "bfloat16"),
    KnownModel("qwen2-7B", "Qwen/Qwen2.5-7B", "chatml", "bfloat16"),
    KnownModel("qwen2-3B", "Qwen/Qwen2.5-3B", "chatml", "bfloat16"),
    KnownModel("qwen2-2B", "Qwen/Qwen2.5-1.5B", "chatml", "bfloat16"),
)

KNOWN_MODELS = {model.name: model for model in _MODELS}
"""Short name → model. `qwen2-2B` is the study's name for Qwen2.5-1.5B."""


def known_by_repository(repository: str) -> KnownModel | None:
    """Return the entry of a hub id, if it is one of the known models."""
    return next((model for model in _MODELS if model.repository == repository), None)
