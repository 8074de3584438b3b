"""Model folders that are cut short, or whose parts do not belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from budgetctl.errors import UsageError
from budgetctl.models.folders import check_model_folder, precision_of
from budgetctl.models.loading import load_base


@pytest.fixture
def folder(small_base: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(small_base, copy)
    return copy


def configure(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_weights_that_are_cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    check_model_folder(folder)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UsageError, match=rf"{folder}/model.safetensors is cut short: .* promises \d+ bytes"):
        check_model_folder(folder)
    with pytest.raises(UsageError, match="not a model that Transformers can load"):
        load_base(folder, torch.device("cpu"), "float32")


def test_a_part_of_the_weights_that_is_not_there(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match=r"lacks model-00002-of-00002.safetensors, which its index"):
        check_model_folder(folder)


def test_a_configuration_that_is_none(folder: Path) -> None:
    (folder / "config.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match=r"is no model's configuration: it holds \[1, 2\]"):
        check_model_folder(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_hidden_layers": 3}, r"model.layers.2.input_layernorm.weight is missing, and 8 more"),
        ({"num_hidden_layers": 1}, r"model.layers.1.input_layernorm.weight is one too many, and 8 more"),
        ({"intermediate_size": 32}, r"down_proj.weight has the shape \(32, 64\) instead of \(32, 32\)"),
        ({"tie_word_embeddings": False}, r"lm_head.weight is missing\."),
        ({"num_attention_heads": 3}, "not a model that Transformers can load: .*not a multiple"),
        ({"model_type": "nobody"}, "not a model that Transformers can load: .*`nobody`"),
    ],
)
def test_a_configuration_of_other_weights(folder: Path, changes: dict[str, Any], sentence: str) -> None:
    configure(folder, **changes)
    with pytest.raises(UsageError, match=rf"(?s)^.*{sentence}"):
        load_base(folder, torch.device("cpu"), "float32")


@pytest.mark.parametrize(
    ("declared", "precision"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": None, "torch_dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": "float16"}, "bfloat16"),
        ({"dtype": None, "text_config": {"dtype": "bfloat16"}}, "bfloat16"),
        ({"dtype": "float32"}, "float32"),
        ({"dtype": None}, "float32"),
    ],
)
def test_the_precision_that_a_configuration_declares(
    folder: Path, declared: dict[str, Any], precision: str
) -> None:
    configure(folder, **declared)
    assert precision_of(folder) == precision
