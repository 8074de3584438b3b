"""Choosing the next token of a batch: greedily, or from each row's own random stream."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from budgetctl.engines.protocol import Decoding


def row_uniforms(decoding: Decoding, prompt_id: str, sample: int, length: int) -> np.ndarray:
    """Return the uniform numbers of one answer, (length,), a function of seed, prompt and sample alone.

    So an answer depends neither on the other rows of its batch, nor on their order, nor on a restart.
    """
    digest = blake2b(f"{decoding.seed}\x00{prompt_id}\x00{sample}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(length)


def next_tokens(logits: Tensor, decoding: Decoding, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Choose one token a row.

    Top-k first, then top-p on what remains, both after the temperature, as Transformers and vLLM do.

    Args:
        logits: (rows, vocabulary), float32.
        decoding: How to draw.
        uniforms: (rows,) in [0, 1), float64; unused when greedy.

    Returns:
        Token ids (rows,) and their log-probabilities under the unchanged logits (rows,).
    """
    if decoding.temperature == 0:
        chosen = logits.argmax(-1)
    else:
        chosen = _draw(logits / decoding.temperature, decoding, uniforms)
    own = logits.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    return chosen, own - logits.logsumexp(-1)


def _draw(logits: Tensor, decoding: Decoding, uniforms: Tensor) -> Tensor:
    kept = min(decoding.top_k, logits.shape[-1]) if decoding.top_k else logits.shape[-1]
    values, order = logits.topk(kept, dim=-1) if kept < logits.shape[-1] else logits.sort(-1, descending=True)
    mass = values.double().softmax(-1)
    before = mass.cumsum(-1) - mass
    mass = torch.where(before < decoding.top_p, mass, 0.0)
    heap = mass.cumsum(-1)
    rank = torch.searchsorted(heap, (uniforms * heap[:, -1]).unsqueeze(-1), right=True).clamp(max=kept - 1)
    return order.gather(-1, rank).squeeze(-1)
