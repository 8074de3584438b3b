from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.folders import IGNORED_ENTRIES, parameter_count, template_name_for
from budgetctl.models.hub import commit_of, explained
from budgetctl.models.loading import load_base
from budgetctl.models.tiny import TinyConfig
from budgetctl.stages.base import BaseIdentity, BaseStage, FolderSource, HubSource, TinySource
from budgetctl.stages.stage import payload_of
from store import Store


def test_a_folder_is_published_whole(stage_store: Store, base_key: str, small_base: Path) -> None:
    artifact = stage_store.artifact(base_key)
    loaded = load_base(artifact.path(), torch.device("cpu"), "float32")
    assert artifact.metrics["parameters"] == sum(weight.numel() for weight in loaded.model.parameters())
    assert artifact.metrics["context_length"] == 128
    assert stage_store.hash_path(artifact.path()) == stage_store.hash_path(small_base, IGNORED_ENTRIES)
    assert template_name_for(artifact.path()) == "tiny"


def test_the_key_is_the_content_not_the_place(stage_store: Store, small_base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(small_base, copy)
    (copy / "README.md").write_text("not part of the model")
    hashes = {stage_store.hash_path(folder, IGNORED_ENTRIES) for folder in (small_base, copy)}
    assert len(hashes) == 1
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert stage_store.hash_path(copy, IGNORED_ENTRIES) not in hashes


def test_a_folder_that_changed_since(run_stage: Callable[..., object], small_base: Path) -> None:
    stage = BaseStage(BaseIdentity(source=FolderSource(content="0" * 64)))
    with pytest.raises(BudgetctlError, match="has changed since it was planned"):
        run_stage(stage, execution={"sources": {"0" * 64: small_base}})
    with pytest.raises(UsageError, match="Nobody said where"):
        run_stage(stage)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no .*weights"),
        ("tokenizer.json", "no tokenizer.json"),
    ],
)
def test_a_path_that_is_no_model(
    missing: str,
    sentence: str,
    stage_store: Store,
    run_stage: Callable[..., object],
    small_base: Path,
    tmp_path: Path,
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_base, broken)
    (broken / missing).unlink()
    content = stage_store.hash_path(broken, IGNORED_ENTRIES)
    stage = BaseStage(BaseIdentity(source=FolderSource(content=content)))
    with pytest.raises(UsageError, match=sentence):
        run_stage(stage, execution={"sources": {content: broken}})


def test_weights_that_are_not_safetensors(small_base: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="not a safetensors file"):
        parameter_count(tmp_path)


def test_tiny_is_pretrained_by_the_stage(run_stage: Callable[..., object], stage_store: Store) -> None:
    config = TinyConfig(hidden=24, layers=1, heads=1, feed_forward=32, steps=3, sequences=2, sequence=32)
    stage = BaseStage(BaseIdentity(source=TinySource(config=config)))
    run_stage(stage)
    artifact = stage_store.artifact(payload_of(stage).key)
    assert artifact.metrics["steps"] == 3
    assert template_name_for(artifact.path()) == "tiny"


def test_hub_errors_say_what_to_do() -> None:
    response: Any = SimpleNamespace(headers={}, request=None)  # all that the errors read of it
    gated = explained(GatedRepoError("no", response=response), "meta-llama/Llama-3.1-8B")
    assert "accept its licence at https://huggingface.co/meta-llama/Llama-3.1-8B" in str(gated)
    unknown = explained(RepositoryNotFoundError("no", response=response), "nobody/nothing")
    assert "knows no model nobody/nothing" in str(unknown)
    assert "local folder" in str(explained(OSError("unreachable"), "a/b"))


def test_offline_without_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BudgetctlError, match="--offline forbids"):
        commit_of("a/b", offline=True)
    reference = tmp_path / "models--a--b" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("c" * 40)
    assert commit_of("a/b", offline=True) == "c" * 40
    assert BaseIdentity(source=HubSource(repository="a/b", commit="c" * 40)).source.kind == "hub"
