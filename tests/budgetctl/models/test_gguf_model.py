"""A real model out of a GGUF file: it answers, and it trains over its own answers."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from budgetctl_training_job import plain_job

from budgetctl.engines.protocol import AdapterFolder, Decoding, Prompt
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.errors import UsageError
from budgetctl.models.encoding import Encoder
from budgetctl.models.folders import parameter_count, template_name_for
from budgetctl.models.gguf import unpack_gguf
from budgetctl.models.loading import load_tokenizer
from budgetctl.models.templates import Template
from budgetctl.training.config import LoraSettings, OptimizerSettings, PftSettings
from budgetctl.training.run import train

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.mark.slow
def test_smollm2_answers_and_trains(smollm2: Path, tmp_path: Path) -> None:
    assert template_name_for(smollm2) == "chatml"
    assert parameter_count(smollm2) == 134_515_008
    encoder = Encoder(load_tokenizer(smollm2), Template.named("chatml"))
    engine = TransformersEngine(smollm2, "cpu", "float32")
    prompt = Prompt("capital", tuple(encoder.prompt(QUESTION)))

    def ask(adapter: AdapterFolder | None) -> str:
        (batch,) = engine.generate([prompt], Decoding(max_new_tokens=12), encoder.stop_ids, adapter)
        assert batch[0].finish_reason == "stop"
        return encoder.decode(batch[0].token_ids)

    assert ask(None) == "The capital of France is Paris."
    pair = {"prompt": QUESTION, "chosen": [{"role": "assistant", "content": "It is Paris, on the Seine."}],
            "rejected": [{"role": "assistant", "content": "The capital of France is Paris."}]}  # fmt: skip
    rows = [{"prompt_id": str(number), **pair} for number in range(2)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "pref.parquet")
    job = plain_job(tmp_path / "job", smollm2, tmp_path / "pref.parquet", template=Template.named("chatml"))
    settings = PftSettings(
        epochs=6, batch_size=2, lora=LoraSettings(rank=4), optimizer=OptimizerSettings(learning_rate=1e-3)
    )
    metrics = train(job, settings)
    assert metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert isinstance(metrics["last_loss"], float)
    assert metrics["last_loss"] < 0.1
    before, after = (
        sum(engine.logprobs([prompt], [encoder.answer(QUESTION, pair["chosen"])], adapter)[0])
        - sum(engine.logprobs([prompt], [encoder.answer(QUESTION, pair["rejected"])], adapter)[0])
        for adapter in (None, AdapterFolder("a" * 64, job.out))
    )
    assert after > before + 10


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"no")
    with pytest.raises(UsageError, match="not a GGUF file"):
        unpack_gguf(tmp_path / "model.gguf", tmp_path / "out")
