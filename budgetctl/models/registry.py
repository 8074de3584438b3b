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
        family: Its architecture, as `model_type` in its configuration names it.
        precision: Weights' precision that suits its size.
        gated: Whether the hub asks for an accepted licence.
        commit: The hub commit that the name stands for, so that its key needs no network.
    """

    name: str
    repository: str
    template: str
    family: str
    precision: Precision
    gated: bool = False
    commit: str = ""


_MODELS = (
    KnownModel("tiny", "", "tiny", "llama", "float32"),
    KnownModel("smollm2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct", "chatml", "llama", "float32",
               commit="12fd25f77366fa6b3b4b768ec3050bf629380bac"),
    KnownModel("llama3-8B", "meta-llama/Llama-3.1-8B", "llama3", "llama", "bfloat16", gated=True,
               commit="d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"),
    KnownModel("llama3-3B", "meta-llama/Llama-3.2-3B", "llama3", "llama", "bfloat16", gated=True,
               commit="13afe5124825b4f3751f836b40dafda64c1ed062"),
    KnownModel("llama3-1B", "meta-llama/Llama-3.2-1B", "llama3", "llama", "bfloat16", gated=True,
               commit="4e20de362430cd3b72f300e6b0f18e50e7166e08"),
    KnownModel("qwen2-14B", "Qwen/Qwen2.5-14B", "chatml", "qwen2", "bfloat16",
               commit="97e1e76335b7017d8f67c08a19d103c0504298c9"),
    KnownModel("qwen2-7B", "Qwen/Qwen2.5-7B", "chatml", "qwen2", "bfloat16",
               commit="d149729398750b98c0af14eb82c78cfe92750796"),
    KnownModel("qwen2-3B", "Qwen/Qwen2.5-3B", "chatml", "qwen2", "bfloat16",
               commit="3aab1f1954e9cc14eb9509a215f9e5ca08227a9b"),
    KnownModel("qwen2-2B", "Qwen/Qwen2.5-1.5B", "chatml", "qwen2", "bfloat16",
               commit="8faed761d45a263340a0528343f099c05c9a4323"),
)  # fmt: skip

KNOWN_MODELS = {model.name: model for model in _MODELS}
"""Short name → model. `qwen2-2B` is the study's name for Qwen2.5-1.5B."""


def known_by_repository(repository: str) -> KnownModel | None:
    """Return the entry of a hub id, if it is one of the known models."""
    return next((model for model in _MODELS if model.repository == repository), None)
