"""Each method really trains, starts where its mathematics says, and publishes an adapter that answers otherwise."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from peft import PeftModel
from training_results import curve_values
from transformers import AutoModelForCausalLM, AutoTokenizer

from budgetctl.errors import BudgetctlError
from budgetctl.models.adapters import Adapter
from budgetctl.training.config import OptimizerSettings, PftSettings, SftSettings
from budgetctl.training.order import RowOrder
from budgetctl.training.run import train

FAST = OptimizerSettings(learning_rate=1e-2)


def logits(base: Path, adapter: Path | None) -> torch.Tensor:
    """Logits of a fixed text, everything read from disk."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(8, 40).unsqueeze(0)).logits


def test_sft_lowers_the_loss_and_its_adapter_answers_otherwise(make_job: Any, small_base: Path) -> None:
    job = make_job()
    metrics = train(job, SftSettings(epochs=8, optimizer=FAST))
    losses = curve_values(job.out, "loss")
    assert len(losses) == metrics["steps"] == math.ceil(24 * 8 / 16)
    assert losses[-1] < 0.5 * losses[0]
    assert (logits(small_base, job.out) - logits(small_base, None)).abs().max() > 0.1


@pytest.mark.parametrize("loss", ["answer", "full"])
def test_the_first_loss_is_that_of_plain_logits(loss: str, make_job: Any, small_base: Path) -> None:
    """Over all learnt tokens of the first batch: the answers', or with `full` all but each text's first."""
    job = make_job()
    train(job, SftSettings(epochs=1, loss=loss))
    model = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(small_base)
    records = pyarrow.parquet.read_table(job.data).to_pylist()
    summed, counted = 0.0, 0
    for index in RowOrder(len(records), 1, 16, job.seed).first(16):
        prompt, answer = (turn["content"] for turn in records[index]["messages"])
        opened = tokenizer(f"<|bos|><|user|>{prompt}<|end|><|assistant|>")["input_ids"]
        ids = torch.tensor([opened + tokenizer(f"{answer}<|end|>")["input_ids"]])
        with torch.no_grad():
            logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        learnt = logprobs.gather(-1, ids[0, 1:, None])[0 if loss == "full" else len(opened) - 1 :]
        summed, counted = summed - float(learnt.sum()), counted + len(learnt)
    assert curve_values(job.out, "loss")[0] == pytest.approx(summed / counted, abs=1e-4)


@pytest.fixture
def parent(make_job: Any) -> Path:
    job = make_job(seed=3)
    train(job, SftSettings(epochs=4, optimizer=FAST))
    return job.out


@pytest.mark.parametrize(
    "method",
    ["dpo", "ipo", "hinge", "robust", "exo", "nca", "bco", "sppo", "aot", "aot_unpaired", "apo", "apo_down", "discopop",
     "kto", "simpo", "orpo", "cpo"],
)  # fmt: skip
@pytest.mark.parametrize("cold", [False, True], ids=["over-sft", "over-base"])
def test_each_preference_method_trains(
    method: str, cold: bool, make_job: Any, parent: Path, small_base: Path
) -> None:
    start = None if cold else parent
    job = make_job("unpaired.parquet" if method == "kto" else "pref.parquet", parent=start)
    smoothing = 0.1 if method in ("robust", "exo") else 0.0
    settings = PftSettings(method=method, epochs=10, optimizer=FAST, label_smoothing=smoothing)
    metrics = train(job, settings)
    losses = curve_values(job.out, "loss")
    assert losses[-1] < losses[0]
    assert (logits(small_base, job.out) - logits(small_base, start)).abs().max() > 0.01
    assert metrics["adapter_rank"] == (32 if cold else 64)
    if method in ("dpo", "robust"):
        assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
        assert curve_values(job.out, "rewards/margins")[0] == pytest.approx(0, abs=1e-4)
        assert curve_values(job.out, "rewards/margins")[-1] > 0.1
    if method == "kto":
        assert losses[0] == pytest.approx(0.5, abs=1e-4)


def test_kto_takes_pairs_apart(make_job: Any) -> None:
    job = make_job("pref.parquet")
    metrics = train(job, PftSettings(method="kto", epochs=1))
    assert metrics["rows"] == 48


def test_a_reference_of_another_policy_is_refused(make_job: Any, parent: Path) -> None:
    scored = make_job("pref.parquet")
    train(scored, PftSettings(epochs=1))
    wrong = make_job("pref.parquet", parent=parent)
    with pytest.raises(BudgetctlError, match="must equal its reference"):
        train(replace(wrong, references=(scored.scratch / "reference.parquet",)), PftSettings(epochs=1))


def test_the_published_adapter_is_in_pefts_format(make_job: Any, parent: Path) -> None:
    job = make_job("pref.parquet", parent=parent)
    train(job, PftSettings(epochs=1, optimizer=FAST))
    assert sorted(path.name for path in job.out.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "curves.parquet"
    ]  # fmt: skip
    assert Adapter.load(job.out).scale == 1.0


def test_a_single_step_moves_the_weights(make_job: Any, small_base: Path) -> None:
    job = make_job()
    assert train(job, SftSettings(epochs=0.1))["steps"] == 1
    assert (logits(small_base, job.out) - logits(small_base, None)).abs().max() > 0
