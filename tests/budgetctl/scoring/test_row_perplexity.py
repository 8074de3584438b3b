"""Perplexity against direct formulas and against Transformers' own loss."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from budgetctl.engines.protocol import Prompt
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.scoring.perplexity import RowLoss, perplexity

ROWS = st.lists(st.builds(RowLoss, st.floats(0, 50), st.integers(1, 40)), min_size=2, max_size=12)


@given(ROWS)
def test_both_averages_are_the_direct_formulas(rows: list[RowLoss]) -> None:
    found = perplexity(rows)
    tokens = sum(row.tokens for row in rows)
    mean = math.fsum(row.nll for row in rows) / tokens
    assert found.log_mean == pytest.approx(mean, rel=1e-12)
    assert found.token_weighted == pytest.approx(math.exp(mean), rel=1e-9)
    each = [math.exp(row.nll / row.tokens) for row in rows]
    assert found.per_sample == pytest.approx(math.fsum(each) / len(rows), rel=1e-9)
    assert (found.rows, found.tokens) == (len(rows), tokens)
    assert found.low <= found.token_weighted <= found.high


def test_equal_rows_leave_no_doubt_and_one_interval_by_hand() -> None:
    same = perplexity([RowLoss(3.0, 2), RowLoss(6.0, 4)])
    assert (same.log_se, same.low, same.high) == (0.0, same.token_weighted, same.token_weighted)
    by_hand = perplexity([RowLoss(2.0, 1), RowLoss(4.0, 3), RowLoss(6.0, 4)])
    # r = 12/8 = 1.5; residuals 0.5, -0.5, 0; variance 3/2 * 0.5 / 64; t(2 degrees) = 4.302653
    assert by_hand.log_se == pytest.approx(math.sqrt(0.75) / 8, rel=1e-12)
    assert by_hand.high == pytest.approx(math.exp(1.5 + 4.302653 * math.sqrt(0.75) / 8), rel=1e-6)


def test_intervals_cover_as_often_as_they_say() -> None:
    """Rows of different lengths whose tokens share a row's difficulty."""
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        lengths = random.integers(5, 60, size=60)
        difficulty = random.gamma(4.0, 0.25, size=60)
        found = perplexity([RowLoss(float(d * n), int(n)) for d, n in zip(difficulty, lengths, strict=True)])
        covered += found.low <= math.e <= found.high
    assert 925 <= covered <= 970


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "at least two rows, got 0"),
        ([RowLoss(1.0, 1)], "at least two rows, got 1"),
        ([RowLoss(1.0, 1), RowLoss(0.0, 0)], "row 1 has no token"),
        ([RowLoss(1.0, 1), RowLoss(float("nan"), 2)], "row 1 is not finite"),
    ],
)
def test_what_cannot_be_averaged_is_refused(rows: list[RowLoss], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        perplexity(rows)


def test_it_is_the_exponential_of_transformers_own_loss(small_base: Path) -> None:
    """One pass over all rows with labels on the answers is Transformers' mean over all counted tokens."""
    prompts = [Prompt(f"p{n}", tuple(range(10 + n, 14 + 3 * n))) for n in range(6)]
    answers = [tuple(range(60 + 2 * n, 64 + 5 * n)) for n in range(6)]
    scores = TransformersEngine(small_base, "cpu", "float32", batch=3).logprobs(prompts, answers, None)
    found = perplexity([RowLoss(-math.fsum(score), len(score)) for score in scores])
    model = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32)
    texts = [[*prompt.ids, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    width = max(map(len, texts))
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts])
    labels = torch.full_like(ids, -100)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        labels[row, len(prompt.ids) : len(text)] = ids[row, len(prompt.ids) : len(text)]
    with torch.inference_mode():
        loss = float(model(input_ids=ids, attention_mask=(labels != -100) | (ids != 0), labels=labels).loss)
    assert found.log_mean == pytest.approx(loss, abs=1e-6)
    assert found.token_weighted == pytest.approx(math.exp(loss), rel=1e-6)
