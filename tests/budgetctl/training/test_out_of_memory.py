"""A GPU whose memory runs out, here pretended: smaller micro-batches, nothing left over, and what would fit."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from training_results import largest_difference

from budgetctl.errors import BudgetctlError
from budgetctl.models.loading import load_base
from budgetctl.training.config import LoraSettings, OptimizerSettings, PftSettings, SftSettings
from budgetctl.training.run import train
from budgetctl.training.trl_trainers import PairTrainer, SupervisedTrainer, UnpairedTrainer

SMALL = LoraSettings(rank=4)
SFT = SftSettings(epochs=4, lora=SMALL, optimizer=OptimizerSettings(learning_rate=1e-3))


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise torch.cuda.OutOfMemoryError("pretended")


def test_out_of_memory_finds_a_smaller_micro_batch_and_goes_on(
    make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pretended GPU of 5 rows: the third step of the first try and every try above 5 rows run out of memory."""
    undisturbed = make_job()
    train(undisturbed, SFT)
    seen: list[int] = []
    real = SupervisedTrainer.compute_loss

    def limited(trainer: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        rows = len(inputs["input_ids"])
        seen.append(rows)
        if rows > 5 and trainer.state.global_step >= 2:
            raise torch.cuda.OutOfMemoryError("pretended")
        return real(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(SupervisedTrainer, "compute_loss", limited)
    job = make_job()
    metrics = train(job, SFT)
    assert metrics["micro_batch"] == 4
    assert metrics["resumed_at_step"] == 2
    assert seen[:4] == [16, 16, 16, 8]
    assert largest_difference(job.out, undisturbed.out) < 2e-4


def test_the_model_of_a_try_is_gone_before_the_next_is_loaded(
    make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[weakref.ref[torch.nn.Module]] = []
    left: list[int] = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        left.append(sum(model() is not None for model in models))
        loaded = load_base(*args, **kwargs)
        models.append(weakref.ref(loaded.model))
        return loaded

    monkeypatch.setattr("budgetctl.training.attempt.load_base", watched)
    monkeypatch.setattr(SupervisedTrainer, "compute_loss", out_of_memory)
    with pytest.raises(BudgetctlError, match="does not fit"):
        train(make_job(micro_batch=4), SFT)
    assert left == [0, 0, 0, 0]  # 4, 2 and 1 rows, and 1 with recomputed activations


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (SFT, r"does not fit into this GPU's memory, .*: lower max_length, use weights: qlora, or use a GPU"),
        (SftSettings(weights="full"), r"lower max_length, use weights: lora, or use a GPU"),
        (
            PftSettings(method="aot", batch_size=8),
            r"^8 rows of up to \d+ tokens, the fewest .* max_length or batch_size",
        ),
        (
            PftSettings(method="kto", batch_size=7),
            r"^7 rows of up to \d+ tokens, the fewest .* max_length or batch_size",
        ),
    ],
    ids=["a row", "all weights", "a batch that is not cut", "a batch that cannot be cut"],
)
def test_a_hopeless_case_says_what_would_fit(
    settings: Any, sentence: str, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trainer in (SupervisedTrainer, PairTrainer, UnpairedTrainer):
        monkeypatch.setattr(trainer, "compute_loss", out_of_memory)
    with pytest.raises(BudgetctlError, match=sentence):
        train(make_job("sft.parquet" if isinstance(settings, SftSettings) else "pref.parquet"), settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (SFT, "use weights: qlora, spread it with --shard and --processes N, or use a larger GPU"),
        (SftSettings(weights="full"), "use weights: lora, spread it with --shard"),
    ],
    ids=["an adapter", "all weights"],
)
def test_a_model_beyond_the_memory_says_what_would_fit(
    settings: Any, sentence: str, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.Module, "to", out_of_memory)
    with pytest.raises(
        BudgetctlError, match=rf"billion weights do not fit into the memory of cpu: {sentence}"
    ):
        train(make_job(), settings)
