"""What a training refuses, each in a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.templates import Template
from budgetctl.training.config import LoraSettings, PftSettings, SftSettings
from budgetctl.training.run import train
from budgetctl.training.unsloth_backend import child_environment
from budgetctl.training.versions import check_versions


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "ppo"}, "method"),
        ({"beta": 0}, "greater than 0"),
        ({"beta": -0.1}, "greater than 0"),
        ({"label_smoothing": 0.1}, "no meaning for dpo"),
        ({"method": "exo"}, "0.001"),
        ({"method": "kto", "sft_weight": 1}, "not of kto"),
        ({"method": "orpo", "sft_weight": 1}, "not of orpo"),
        ({"method": "orpo", "beta": 1}, "orpo has no beta; .*odds_weight"),
        ({"method": "orpo", "odds_weight": 0}, "greater than 0"),
        ({"method": "dpo", "odds_weight": 0.2}, "option of orpo, not of dpo"),
        ({"method": "dpo", "gamma": 0.5}, "option of simpo, not of dpo"),
        ({"method": "simpo", "gamma": -1}, "greater than or equal to 0"),
        ({"method": "simpo", "beta": 0}, "greater than 0"),
        ({"method": "dpo", "desirable_weight": 2}, "desirable_weight is an option of kto, not of dpo"),
        (
            {"method": "simpo", "undesirable_weight": 2},
            "undesirable_weight is an option of kto, not of simpo",
        ),
        ({"lora": {"dropout": 0.1}}, "lora.dropout is an option of sft"),
        ({"weights": "full", "lora": {"rank": 8}}, "leave lora out"),
        ({"weights": "full", "adapter": "continue"}, "no meaning for weights: full"),
        ({"lora": {"targets": []}}, "targets is empty"),
        ({"lora": {"r": 8}}, "r"),
        ({"epochs": 0}, "greater than 0"),
        ({"backend": "axolotl"}, "backend"),
        ({"backend": "unsloth"}, "computes in bfloat16"),
        ({"backend": "unsloth", "precision": "bfloat16", "weights": "full"}, "trains adapters"),
        (
            {"backend": "unsloth", "precision": "bfloat16", "lora": {"extra_targets": ["lm_head"]}},
            "not lm_head",
        ),
    ],
)
def test_settings(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        PftSettings.model_validate(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "kto", "desirable_weight": 2, "undesirable_weight": 0.5},
        {"method": "dpo", "desirable_weight": 1, "undesirable_weight": 1, "lora": {"dropout": 0}},
        {"weights": "full", "lora": LoraSettings().model_dump(), "adapter": "stack"},
        {"lora": {"targets": [], "extra_targets": ["embed_tokens"]}},
    ],
)
def test_settings_that_are_the_defaults_or_do_something(settings: dict[str, Any]) -> None:
    assert PftSettings.model_validate(settings)


def test_a_row_longer_than_max_length(make_job: Any) -> None:
    with pytest.raises(UsageError, match=r"row 'sum-\d+' has \d+ tokens, more than max_length of 12"):
        train(make_job(), SftSettings(max_length=12))


def test_a_row_longer_than_the_context(make_job: Any, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "x" * 200}, {"role": "assistant", "content": "y"}]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{"prompt_id": "a", "messages": turns}]), tmp_path / "l.parquet"
    )
    with pytest.raises(UsageError, match=r"more than the model's context of 128"):
        train(make_job(data=tmp_path / "l.parquet"), SftSettings())


def test_a_prompt_that_leaves_no_room_to_cut(make_job: Any) -> None:
    sentence = r"has a prompt of \d+ tokens, and max_length of 8 would leave nothing"
    with pytest.raises(UsageError, match=sentence) as said:
        train(make_job(), SftSettings(max_length=8, overlong="truncate"))
    assert "overlong: truncate" not in str(said.value)


def test_truncation_is_counted(make_job: Any) -> None:
    metrics = train(make_job(), SftSettings(max_length=16, overlong="truncate", epochs=1))
    assert metrics["truncated_rows"] > 0


def test_no_rows(make_job: Any, tmp_path: Path, sum_data: Path) -> None:
    empty = pyarrow.parquet.read_table(sum_data / "sft.parquet").slice(0, 0)
    pyarrow.parquet.write_table(empty, tmp_path / "sft.parquet")
    with pytest.raises(UsageError, match="holds no rows"):
        train(replace(make_job(), data=tmp_path / "sft.parquet"), SftSettings())


def test_an_adapter_of_another_base(make_job: Any, make_small_base: Callable[..., Path]) -> None:
    other = make_job(base=make_small_base(hidden=48))
    train(other, SftSettings(epochs=1, lora=LoraSettings(rank=4)))
    with pytest.raises(UsageError, match="belongs to another base"):
        train(make_job("pref.parquet", parent=other.out), PftSettings(epochs=1))


def test_a_tokenizer_without_the_templates_tokens(make_job: Any) -> None:
    with pytest.raises(UsageError, match="Choose a base whose tokenizer has it"):
        train(make_job(template=Template.named("chatml")), SftSettings())


def test_a_base_that_is_no_model(make_job: Any, tmp_path: Path) -> None:
    with pytest.raises(BudgetctlError, match="not a model that Transformers can load"):
        train(make_job(base=tmp_path), SftSettings())


def test_a_gpu_that_is_not_there(make_job: Any) -> None:
    with pytest.raises(UsageError, match="no GPU here"):
        train(make_job(device="cuda"), SftSettings())


def test_unsloth_without_a_gpu(make_job: Any) -> None:
    with pytest.raises(UsageError, match="backend: unsloth needs a GPU; use backend: trl here"):
        train(make_job(), SftSettings(backend="unsloth", precision="bfloat16"))


@pytest.mark.parametrize(
    ("job", "sentence"),
    [({}, r"needs its package: pip install 'budgetctl\[gpu\]'.*BUDGETCTL_UNSLOTH_PYTHON"),
     ({"processes": 2}, "trains in one process")],
)  # fmt: skip
def test_what_unsloth_cannot_do(
    job: dict[str, Any], sentence: str, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    if job:
        monkeypatch.setenv("BUDGETCTL_UNSLOTH_PYTHON", "/some/python")
    with pytest.raises(UsageError, match=sentence):
        train(make_job(device="auto", **job), SftSettings(backend="unsloth", precision="bfloat16"))


def test_unsloths_process_sees_its_gpu_and_reports_to_nobody(
    make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    variables = child_environment(make_job(device="cuda:1"))
    assert variables["CUDA_VISIBLE_DEVICES"] == "5"
    assert variables["UNSLOTH_DISABLE_STATISTICS"] == variables["HF_HUB_OFFLINE"] == "1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert child_environment(make_job(device="cuda:1"))["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in child_environment(make_job(device="auto"))


def test_kto_of_single_rows(make_job: Any) -> None:
    with pytest.raises(UsageError, match="batch_size of at least 2"):
        train(make_job("unpaired.parquet"), PftSettings(method="kto", batch_size=1))


@pytest.mark.parametrize("method", ["aot", "aot_unpaired"])
def test_a_batch_that_cannot_be_cut_in_processes(method: str, make_job: Any) -> None:
    with pytest.raises(UsageError, match="in one process only"):
        train(make_job("pref.parquet", processes=2), PftSettings(method=method, batch_size=8))


@pytest.mark.parametrize(
    ("device", "processes", "sentence"),
    [
        ("cuda:1", 2, "--processes 2 takes one GPU each; leave --device cuda:1 out"),
        ("auto", 4, "--processes 4 needs as many GPUs, and this process sees 2"),
        ("cuda", 4, "--processes 4 needs as many GPUs, and this process sees 2"),
    ],
)
def test_processes_that_would_share_a_gpu(
    device: str, processes: int, sentence: str, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(UsageError, match=sentence):
        train(make_job(device=device, processes=processes), SftSettings())


def test_untried_versions() -> None:
    tried = {"torch": "2.13.0+cpu", "transformers": "5.19.0", "trl": "1.16.0", "peft": "0.21.2"}
    check_versions(installed=tried)
    with pytest.raises(BudgetctlError, match=r"trl 2.0.1 is installed; .*pip install 'trl>=1.15,<1.17'"):
        check_versions(installed={**tried, "trl": "2.0.1"})
    with_unsloth = {**tried, "trl": "1.15.0", "unsloth": "2026.10.7"}
    check_versions("unsloth", with_unsloth)
    with pytest.raises(BudgetctlError, match=r"trl 1.16.0 is installed"):
        check_versions("unsloth", {**with_unsloth, "trl": "1.16.0"})
