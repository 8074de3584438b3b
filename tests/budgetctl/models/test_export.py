"""An exported checkpoint answers in plain Transformers and PEFT as it does here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from budgetctl_training_job import plain_job
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from budgetctl.errors import UsageError
from budgetctl.models.export import export
from budgetctl.models.templates import Template
from budgetctl.training.config import LoraSettings, OptimizerSettings, SftSettings
from budgetctl.training.run import train
from store import Payload, Store

TEXT = torch.arange(8, 60).unsqueeze(0)
OWN_END, STOP = "<|endoftext|>", 2
"""The small ChatML base's own end token (id 0), and the id of the template's."""


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


@pytest.fixture(scope="module")
def learnt(
    tmp_path_factory: pytest.TempPathFactory, make_small_base: Callable[..., Path], sum_data: Path
) -> tuple[Store, str, Path]:
    """A ChatML checkpoint that knows its rows by heart, over a base with another end token of its own, as Qwen has."""
    folder = make_small_base("chatml", hidden=64)  # heads of 32, the smallest that vLLM's CPU attention takes
    for name, own in (("tokenizer_config.json", {"eos_token": OWN_END}), ("config.json", {"eos_token_id": 0}),
                      ("generation_config.json", {"eos_token_id": 0})):  # fmt: skip
        file = folder / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **own}))
    root, chatml = tmp_path_factory.mktemp("learnt"), Template.named("chatml")
    store = Store.open(root / "store", create=True)
    base = publish(store, "base", {"source": {"kind": "folder", "content": "0" * 64}}, {}, folder)
    job = plain_job(root / "job", folder, sum_data / "sft.parquet", template=chatml)
    train(job, SftSettings(epochs=60, batch_size=8, optimizer=OptimizerSettings(learning_rate=1e-2)))
    checkpoint = publish(store, "sft", {"template": chatml.model_dump(), "seed": 0}, {"base": base}, job.out)
    return store, checkpoint, folder


def first_turns(sum_data: Path) -> list[dict[str, str]]:
    rows = pyarrow.parquet.read_table(sum_data / "sft.parquet").to_pylist()
    return [dict(turn) for turn in rows[0]["messages"][:1]]


def generated(model: Any, folder: Path, turns: list[dict[str, str]], **options: Any) -> list[int]:
    """Greedy ids behind a prompt that the exported tokenizer writes."""
    given = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.eval().generate(**given, do_sample=False, max_new_tokens=60, **options)
    return [int(token) for token in made[0, given["input_ids"].shape[1] :]]


def test_generation_stops_where_the_template_ends_a_turn(
    learnt: tuple[Store, str, Path], sum_data: Path, tmp_path: Path
) -> None:
    store, checkpoint, base = learnt
    turns = first_turns(sum_data)
    merged = export(store, checkpoint, tmp_path / "merged", "merged", "float32")
    alone = generated(AutoModelForCausalLM.from_pretrained(merged), merged, turns)
    assert alone[-1] == STOP
    assert len(alone) < 60
    adapter = export(store, checkpoint, tmp_path / "adapter", "adapter")
    over_base = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    assert (
        len(generated(over_base, adapter, turns)) == 60
    )  # PEFT asks the base, and the card says what to pass
    card = (adapter / "README.md").read_text()
    assert "generation_config=GenerationConfig.from_pretrained(FOLDER)" in card
    settings = GenerationConfig.from_pretrained(adapter)
    assert generated(over_base, adapter, turns, generation_config=settings) == alone


@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_all_files_name_the_ending_and_the_bases_own(
    form: Any, learnt: tuple[Store, str, Path], tmp_path: Path
) -> None:
    store, checkpoint, _ = learnt
    folder = export(store, checkpoint, tmp_path / "out", form)
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [STOP, 0]
    assert AutoTokenizer.from_pretrained(folder).eos_token == "<|im_end|>"
    if form == "merged":
        assert AutoConfig.from_pretrained(folder).eos_token_id == [STOP, 0]
    card = (folder / "README.md").read_text()
    assert "an answer ends with `<|im_end|>`" in card
    assert f"(token ids that end one: [{STOP}, 0])" in card


def test_a_base_is_exported_as_it_is(learnt: tuple[Store, str, Path], tmp_path: Path) -> None:
    store, checkpoint, _ = learnt
    folder = export(store, store.artifact(checkpoint).parents["base"], tmp_path / "base", "merged")
    assert GenerationConfig.from_pretrained(folder).eos_token_id == 0
    assert AutoTokenizer.from_pretrained(folder).eos_token == OWN_END


VLLM = """
import json, sys
from vllm import LLM
folder, adapter, turns = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
options = dict(max_model_len=128, enforce_eager=True, dtype="float32", seed=0)
lora = dict(lora_request=None)
if adapter:
    from vllm.lora.request import LoRARequest
    lora = dict(lora_request=LoRARequest("one", 1, adapter))
    options |= dict(enable_lora=True, max_lora_rank=32, tokenizer=adapter, generation_config=adapter)
model = LLM(folder, **options)
sampling = model.get_default_sampling_params()
sampling.temperature, sampling.max_tokens = 0.0, 60
(answer,) = model.chat([turns], sampling, **lora)
print("ANSWER", json.dumps([answer.outputs[0].finish_reason, list(answer.outputs[0].token_ids)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_vllm_stops_there_too(
    form: Any, learnt: tuple[Store, str, Path], sum_data: Path, tmp_path: Path, vllm_python: str
) -> None:
    store, checkpoint, base = learnt
    folder = export(store, checkpoint, tmp_path / form, form, "float32")
    turns = first_turns(sum_data)
    model, adapter = (folder, "") if form == "merged" else (base, str(folder))
    environment = {
        **os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [vllm_python, "-c", VLLM, str(model), adapter, json.dumps(turns)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    said = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    reason, ids = json.loads(said.removeprefix("ANSWER "))
    assert reason == "stop"
    assert ids[-1] == STOP
    assert len(ids) < 60


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
