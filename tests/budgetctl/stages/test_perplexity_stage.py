"""Perplexity as a stage: against Transformers' own loss, on gold answers and on the model's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from budgetctl.engines.protocol import Decoding
from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import load_tokenizer
from budgetctl.models.templates import Template
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.perplexity import PerplexityIdentity, PerplexityStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.training.config import LoraSettings, OptimizerSettings, SftSettings
from store import Store

TINY = Template.named("tiny")
GOLD = PerplexityIdentity(template=TINY)


def direct_losses(store: Store, base: str, prompts: str) -> list[tuple[float, int]]:
    """Loss and number of tokens of each gold answer, one row at a time, from Transformers' own `labels`."""
    folder = store.artifact(base).path()
    encoder = Encoder(load_tokenizer(folder), TINY)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = []
    for row in pq.read_table(store.artifact(prompts).path("eval.parquet")).to_pylist():
        prompt = encoder.prompt(row["prompt"])
        ids = encoder.tokenizer(row["answer"], add_special_tokens=False)["input_ids"]
        text = torch.tensor([[*prompt, *ids]])
        labels = text.clone()
        labels[0, : len(prompt)] = -100
        with torch.inference_mode():
            found.append((float(model(input_ids=text, labels=labels).loss) * len(ids), len(ids)))
    return found


def test_gold_answers_against_transformers_own_loss(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store
) -> None:
    prompts = publish_rows("eval.parquet")
    made = run_stage(PerplexityStage(GOLD, base_key, prompts)).artifact
    rows = direct_losses(stage_store, base_key, prompts)
    tokens = sum(count for _, count in rows)
    mean = math.fsum(loss for loss, _ in rows) / tokens
    assert made.metrics["nll_per_token"] == pytest.approx(mean, abs=1e-6)
    assert made.metrics["perplexity"] == pytest.approx(math.exp(mean), rel=1e-6)
    per_sample = math.fsum(math.exp(loss / count) for loss, count in rows) / len(rows)
    assert made.metrics["perplexity_per_sample"] == pytest.approx(per_sample, rel=2e-6)
    assert (made.metrics["rows"], made.metrics["tokens"]) == (24, tokens)
    assert made.metrics["perplexity_low"] < made.metrics["perplexity"] < made.metrics["perplexity_high"]
    table = pq.read_table(made.path("losses.parquet"))
    assert sum(table["tokens"].to_pylist()) == tokens
    assert math.fsum(table["nll"].to_pylist()) == pytest.approx(mean * tokens, rel=1e-6)


def test_greedy_answers_are_scored_without_the_token_that_ends_them(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    prompts = publish_rows("eval.parquet")
    decoding = Decoding(temperature=1.0, samples=2, max_new_tokens=30)
    gen = run_stage(GenStage(GenIdentity(template=TINY, decoding=decoding), base_key, prompts)).artifact
    answers = pq.read_table(gen.path("generations.parquet")).to_pylist()
    assert {answer["finish_reason"] for answer in answers} == {"stop", "length"}
    identity = PerplexityIdentity(template=TINY, answers="generated")
    made = run_stage(PerplexityStage(identity, base_key, prompts, gen=gen.key)).artifact
    lengths = [len(answer["token_ids"]) - (answer["finish_reason"] == "stop") for answer in answers]
    assert made.metrics["tokens"] == sum(lengths)
    assert made.metrics["empty_answers"] == lengths.count(0)
    whole = -sum(answer["logprob"] for answer in answers)
    assert 0 < made.metrics["nll_per_token"] * made.metrics["tokens"] < whole


def test_training_on_the_answers_lowers_it(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    settings = SftSettings(
        epochs=6, lora=LoraSettings(rank=4), optimizer=OptimizerSettings(learning_rate=1e-2)
    )
    sft = run_stage(
        SftStage(SftIdentity(template=TINY, settings=settings), base_key, publish_rows("sft.parquet"))
    )
    prompts = publish_rows("eval.parquet")
    bare, tuned = (
        run_stage(PerplexityStage(GOLD, base_key, prompts, checkpoint)).artifact.metrics
        for checkpoint in (None, sft.artifact.key)
    )
    assert tuned["perplexity_high"] < bare["perplexity_low"]


@pytest.mark.usefixtures("warm_processes")
def test_two_processes_find_the_same(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    first = PerplexityStage(GOLD, base_key, publish_rows("eval.parquet"))
    again = PerplexityStage(GOLD, base_key, publish_rows("eval.parquet", "sft.parquet"))
    alone, shared = (
        run_stage(stage, execution={"processes": count}).artifact.metrics
        for stage, count in ((first, 1), (again, 2))
    )
    assert shared["nll_per_token"] == pytest.approx(alone["nll_per_token"], abs=1e-6)


def test_what_cannot_be_measured_is_refused(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    with pytest.raises(UsageError, match=r"holds sft.parquet, no eval.parquet"):
        run_stage(PerplexityStage(GOLD, base_key, publish_rows("sft.parquet")))
    with pytest.raises(UsageError, match="generated answers needs a generation"):
        PerplexityStage(PerplexityIdentity(template=TINY, answers="generated"), base_key, base_key)
    with pytest.raises(InterruptedRunError, match="after 0 of 24"):
        run_stage(PerplexityStage(GOLD, base_key, publish_rows("eval.parquet")), should_stop=lambda: True)
