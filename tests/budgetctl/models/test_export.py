"""An exported checkpoint answers in plain Transformers and PEFT as it does here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from budgetctl_training_job import plain_job
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from budgetctl.errors import UsageError
from budgetctl.models.export import export
from budgetctl.models.templates import Template
from budgetctl.training.config import LoraSettings, OptimizerSettings, SftSettings
from budgetctl.training.run import train
from store import Payload, Store

TEXT = torch.arange(8, 60).unsqueeze(0)


def publish(store: Store, stage: str, identity: dict[str, Any], parents: dict[str, str], folder: Path) -> str:
    draft = store.draft(Payload(stage=stage, revision=1, identity=identity, parents=parents))
    shutil.copytree(folder, draft.files, dirs_exist_ok=True)
    return draft.publish({"last_loss": 0.5}, {}).key


@pytest.fixture
def trained(tmp_path: Path, small_base: Path, sum_data: Path) -> tuple[Store, str, str]:
    store = Store.open(tmp_path / "store", create=True)
    base = publish(store, "base", {"source": {"kind": "folder", "content": "0" * 64}}, {}, small_base)
    job = plain_job(tmp_path / "job", small_base, sum_data / "sft.parquet")
    fast = OptimizerSettings(learning_rate=1e-2)
    train(job, SftSettings(epochs=4, lora=LoraSettings(rank=4), optimizer=fast))
    identity = {"template": Template.named("tiny").model_dump(), "seed": 0}
    return store, base, publish(store, "sft", identity, {"base": base}, job.out)


def answer(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(input_ids=TEXT).logits
    return logits


def test_adapter_and_merged_answer_alike(
    trained: tuple[Store, str, str], small_base: Path, tmp_path: Path
) -> None:
    store, _, checkpoint = trained
    adapter = export(store, checkpoint, tmp_path / "adapter", "adapter")
    merged = export(store, checkpoint, tmp_path / "merged", "merged", "float32")
    over_base = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(small_base), adapter)
    alone = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    assert (answer(over_base) - answer(alone)).abs().max() < 1e-4
    assert (answer(alone) - answer(AutoModelForCausalLM.from_pretrained(small_base))).abs().max() > 0.1
    half = AutoModelForCausalLM.from_pretrained(export(store, checkpoint, tmp_path / "half", "merged"))
    assert half.dtype == torch.bfloat16


def test_an_adapted_head_is_merged_though_it_was_tied(
    tmp_path: Path, small_base: Path, sum_data: Path
) -> None:
    """The base's head and embeddings are one tensor; their two adapters must not be added into the same one."""
    store = Store.open(tmp_path / "store", create=True)
    base = publish(store, "base", {"source": {"kind": "folder", "content": "0" * 64}}, {}, small_base)
    job = plain_job(tmp_path / "job", small_base, sum_data / "sft.parquet")
    lora = LoraSettings(rank=4, extra_targets=("embed_tokens", "lm_head"))
    train(job, SftSettings(epochs=4, lora=lora, optimizer=OptimizerSettings(learning_rate=1e-2)))
    identity = {"template": Template.named("tiny").model_dump(), "seed": 0}
    checkpoint = publish(store, "sft", identity, {"base": base}, job.out)
    adapter = export(store, checkpoint, tmp_path / "adapter", "adapter")
    merged = export(store, checkpoint, tmp_path / "merged", "merged", "float32")
    over_base = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(small_base), adapter)
    alone = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    assert (answer(over_base) - answer(alone)).abs().max() < 1e-4


@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_the_chat_template_and_the_lineage_go_along(
    form: Any, trained: tuple[Store, str, str], tmp_path: Path
) -> None:
    store, base, checkpoint = trained
    folder = export(store, checkpoint, tmp_path / "out", form)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "2+2?"}]
    ours = Template.named("tiny").render(turns, generation_prompt=True)
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == ours
    card = (folder / "README.md").read_text()
    assert base in card
    assert checkpoint in card
    assert f"base_model: budgetctl-base-{base[:12]}" in card


def test_peft_finds_a_base_beside_it(
    trained: tuple[Store, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, base, checkpoint = trained
    export(store, checkpoint, tmp_path / "adapter", "adapter")
    export(store, base, tmp_path / f"budgetctl-base-{base[:12]}", "merged", "float32")
    monkeypatch.chdir(tmp_path)
    assert answer(AutoPeftModelForCausalLM.from_pretrained("adapter")).isfinite().all()


def test_what_cannot_be_exported(trained: tuple[Store, str, str], tmp_path: Path) -> None:
    store, base, checkpoint = trained
    with pytest.raises(UsageError, match="no adapter; export it with --merged"):
        export(store, base, tmp_path / "a", "adapter")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        export(store, checkpoint, tmp_path / "used", "merged")
    rows = publish(store, "data", {"n": 1}, {}, tmp_path / "used")
    with pytest.raises(UsageError, match="is a data artifact"):
        export(store, rows, tmp_path / "b", "merged")
