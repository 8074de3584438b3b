"""Losses without a reference, against their papers' formulas written out, by hand and at the first step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from training_results import curve_values
from transformers import AutoModelForCausalLM

from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import load_tokenizer
from budgetctl.models.templates import Template
from budgetctl.training.config import OptimizerSettings, PftSettings
from budgetctl.training.pair_losses import AnswerScores, reference_free_loss
from budgetctl.training.run import train


def scores(chosen: float, rejected: float, chosen_tokens: int = 1, rejected_tokens: int = 1) -> AnswerScores:
    values = (torch.tensor([float(value)]) for value in (chosen, rejected, chosen_tokens, rejected_tokens))
    return AnswerScores(*values)


def loss(settings: PftSettings, at: AnswerScores) -> float:
    return float(reference_free_loss(settings, at))


def test_simpo_of_equal_answers_is_its_margin() -> None:
    assert loss(PftSettings(method="simpo", gamma=1.5), scores(-2, -2)) == pytest.approx(
        math.log(1 + math.exp(1.5))
    )
    assert loss(PftSettings(method="simpo", gamma=0), scores(-2, -2)) == pytest.approx(math.log(2))


def test_simpo_divides_by_the_length() -> None:
    at = scores(-6, -10, chosen_tokens=3, rejected_tokens=2)
    expected = math.log(1 + math.exp(-(2.5 * (-2 - -5) - 0.4)))
    assert loss(PftSettings(method="simpo", beta=2.5, gamma=0.4), at) == pytest.approx(expected)


def test_orpo_is_likelihood_and_odds_ratio() -> None:
    at = scores(2 * math.log(0.5), 3 * math.log(0.2), chosen_tokens=2, rejected_tokens=3)
    odds_ratio = (0.5 / 0.5) / (0.2 / 0.8)
    expected = -math.log(0.5) + 0.3 * math.log(1 + 1 / odds_ratio)
    assert loss(PftSettings(method="orpo", odds_weight=0.3), at) == pytest.approx(expected, rel=1e-6)


def test_orpo_of_a_certain_answer_is_a_number() -> None:
    chosen = torch.tensor([0.0], requires_grad=True)
    one = torch.tensor([1.0])
    value = reference_free_loss(
        PftSettings(method="orpo"), AnswerScores(chosen, torch.tensor([-1.0]), one, one)
    )
    value.backward()
    assert math.isfinite(value.item())
    assert chosen.grad is not None
    assert math.isfinite(chosen.grad.item())


def test_cpo_sums_over_tokens() -> None:
    at = scores(-6, -10, chosen_tokens=3, rejected_tokens=2)
    assert loss(PftSettings(method="cpo", beta=0.5), at) == pytest.approx(math.log(1 + math.exp(-0.5 * 4)))


def test_each_method_has_its_authors_defaults() -> None:
    assert (PftSettings(method="simpo").beta, PftSettings(method="simpo").gamma) == (2.0, 1.0)
    assert PftSettings(method="simpo", beta=3).beta == 3
    assert PftSettings(method="cpo").sft_weight == 1.0
    assert PftSettings().beta == 0.1
    settings = PftSettings(method="simpo", beta=0.5)
    assert PftSettings.model_validate(json.loads(settings.model_dump_json())) == settings


def answer_logprobs(base: Path, file: Path) -> list[tuple[list[float], list[float]]]:
    """Token log-probabilities of each pair's two answers under the bare base, from plain logits."""
    encoder = Encoder(load_tokenizer(base), Template.named("tiny"))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    found = []
    for row in pyarrow.parquet.read_table(file).to_pylist():
        prompt = encoder.prompt(row["prompt"])
        sides = []
        for side in ("chosen", "rejected"):
            answer = encoder.answer(row["prompt"], row[side])
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            picked = logits.log_softmax(-1).gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1)
            sides.append(picked.tolist())
        found.append((sides[0], sides[1]))
    return found


@pytest.mark.parametrize("method", ["simpo", "orpo", "cpo"])
def test_the_first_step_is_the_formula_of_the_base(
    method: str, make_job: Any, small_base: Path, sum_data: Path
) -> None:
    """One step over all 24 pairs, so that its loss is the mean over the file."""
    job = make_job("pref.parquet")
    slow = OptimizerSettings(learning_rate=1e-6)
    train(
        job, PftSettings.model_validate({"method": method, "epochs": 1, "batch_size": 24, "optimizer": slow})
    )
    expected = []
    for chosen, rejected in answer_logprobs(small_base, sum_data / "pref.parquet"):
        p, q = sum(chosen) / len(chosen), sum(rejected) / len(rejected)
        if method == "simpo":
            expected.append(math.log(1 + math.exp(-(2.0 * (p - q) - 1.0))))
        elif method == "orpo":
            odds = math.exp(p) / (1 - math.exp(p)) / (math.exp(q) / (1 - math.exp(q)))
            expected.append(-p + 0.1 * math.log(1 + 1 / odds))
        else:
            margin = 0.1 * (sum(chosen) - sum(rejected))
            expected.append(math.log(1 + math.exp(-margin)) - p)
    assert curve_values(job.out, "loss")[0] == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    assert not (job.scratch / "reference.parquet").exists()
