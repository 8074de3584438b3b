"""Drawing tokens: against a direct formula, and in frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.engines.protocol import Decoding
from budgetctl.engines.sampling import next_tokens, row_uniforms


def kept_mass(logits: np.ndarray, decoding: Decoding) -> np.ndarray:
    """The filtered distribution, token by token."""
    scaled = logits / decoding.temperature
    mass = np.exp(scaled - scaled.max())
    order = np.argsort(-mass, kind="stable")
    if decoding.top_k:
        order = order[: decoding.top_k]
    share = mass[order] / mass[order].sum()
    inside = np.concatenate([[0.0], np.cumsum(share)[:-1]]) < decoding.top_p
    result = np.zeros_like(mass)
    result[order[inside]] = share[inside] / share[inside].sum()
    return result


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(temperature=1.0), Decoding(temperature=0.5, top_p=0.9, top_k=150),
        Decoding(temperature=2.0, top_k=3), Decoding(temperature=1.0, top_p=0.5),
    ],
)  # fmt: skip
def test_frequencies(decoding: Decoding) -> None:
    logits = np.array([1.0, 2.5, -1.0, 0.3, 2.4, 0.0])
    n = 20000
    uniforms = torch.tensor((np.arange(n) + 0.5) / n)
    tokens, scores = next_tokens(torch.tensor(logits).float().expand(n, -1), decoding, uniforms)
    found = np.bincount(tokens.numpy(), minlength=6) / n
    assert found == pytest.approx(kept_mass(logits, decoding), abs=2e-4)
    own = torch.tensor(logits).float().log_softmax(0)
    assert torch.allclose(scores, own[tokens], atol=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8, unique=True))
def test_greedy_takes_the_likeliest(values: list[float]) -> None:
    tokens, _ = next_tokens(torch.tensor([values]), Decoding(), torch.zeros(1))
    assert int(tokens[0]) == int(torch.tensor(values).argmax())


def test_streams_are_a_function_of_seed_prompt_and_sample() -> None:
    decoding = Decoding(temperature=1.0, seed=1)
    stream = row_uniforms(decoding, "p", 0, 5)
    assert np.array_equal(stream, row_uniforms(decoding, "p", 0, 9)[:5])
    others = [row_uniforms(decoding, "p", 1, 5), row_uniforms(decoding, "q", 0, 5),
              row_uniforms(decoding.model_copy(update={"seed": 2}), "p", 0, 5)]  # fmt: skip
    assert not any(np.array_equal(stream, other) for other in others)
