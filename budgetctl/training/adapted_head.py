"""Log-probabilities through an output head that has an adapter of its own.

TRL's trainers multiply hidden states by `lm_head.weight` in chunks, which passes an adapter on the head by: it would
never be trained, and nothing would say so. Where the head is adapted, the model's own forward is used instead. That
builds all logits (rows × tokens × vocabulary), which is what an adapter on the head costs in memory.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from transformers.utils import ModelOutput

from budgetctl.training.datasets import IGNORED


@dataclass
class HeadFigures(ModelOutput):  # type: ignore[misc]
    """What TRL's trainers read; each but `loss` is (rows, tokens − 1), and zero where nothing is scored."""

    loss: torch.Tensor | None = None
    log_probs: torch.Tensor | None = None
    entropy: torch.Tensor | None = None
    log_sum_sq_probs: torch.Tensor | None = None
    mean_logits: torch.Tensor | None = None
    is_top1: torch.Tensor | None = None
    label_mask: torch.Tensor | None = None


@contextmanager
def heads_with_adapters(trainer_module: Any) -> Iterator[None]:
    """While a trainer of this TRL module is made, let it add the head that fits the model."""
    fused = trainer_module.add_fused_lm_head

    def add_head(model: Any, *args: Any, **kwargs: Any) -> None:
        if hasattr(model.get_output_embeddings(), "lora_A"):
            _add_whole_head(model)
        else:
            fused(model, *args, **kwargs)

    with patch.object(trainer_module, "add_fused_lm_head", add_head):
        yield


def _add_whole_head(model: Any) -> None:
    """Let `model(…, labels=…, fused_lm_head=True)` answer as with TRL's head, from the model's own logits."""
    plain_forward = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return plain_forward(*args, **kwargs)
        labels = kwargs.pop("labels")[:, 1:]
        items = kwargs.pop("num_items_in_batch", None)
        logits = plain_forward(*args, **{**kwargs, "use_cache": False}).logits[:, :-1]
        return _figures(logits, labels, items)

    model.forward = types.MethodType(forward, model)


def _figures(logits: torch.Tensor, labels: torch.Tensor, items: Any) -> HeadFigures:
    mask = labels != IGNORED
    scored, targets = logits[mask].float(), labels[mask]
    logprobs = scored.log_softmax(-1)
    with torch.no_grad():
        probabilities = logprobs.exp()
        figures = {
            "entropy": -(probabilities * logprobs).sum(-1),
            "log_sum_sq_probs": (2 * logprobs).logsumexp(-1),
            "mean_logits": scored.mean(-1),
            "is_top1": scored.argmax(-1) == targets,
        }
    chosen = logprobs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)

    def spread(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(mask.shape).masked_scatter(mask, values)

    count = mask.sum().clamp(min=1) if items is None else items
    spread_figures = {name: spread(values) for name, values in figures.items()}
    return HeadFigures(
        loss=-chosen.sum() / count, log_probs=spread(chosen), label_mask=mask, **spread_figures
    )
