"""What a Transformers model folder holds, read without loading the model."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from budgetctl.errors import UsageError
from budgetctl.models.registry import Precision

IGNORED_ENTRIES = (
    ".git",
    ".cache",
    ".gitattributes",
    "README.md",
    "LICENSE",
    "original",
    "onnx",
    "__pycache__",
)
"""Entries of a model folder that are neither hashed nor copied."""

LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors header that the format allows."""

TEMPLATE_MARKS = {
    "tiny": ("<|assistant|>", "<|end|>", "<|bos|>"),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
}
"""Template → the special tokens it needs."""


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that is not a model with whole weights and a tokenizer.

    Raises:
        UsageError: Something is missing or cut short; says what.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder. Give a model's folder, a known name such as tiny, or a hub id."
        )
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is no Transformers model: it has no config.json.")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"{folder} has no *.safetensors weights. Convert them by loading the model with Transformers and "
            "calling save_pretrained."
        )
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(f"{folder} has no tokenizer.json. Save a fast tokenizer beside the model.")
    config_of(folder)
    for file in sorted(folder.glob("*.safetensors")):
        _header(file)
    if lacking := [name for name in _indexed_files(folder) if not (folder / name).is_file()]:
        raise UsageError(
            f"{folder} lacks {', '.join(lacking)}, which its index of weights names. Copy or fetch it again."
        )


def template_name_for(folder: Path) -> str:
    """Choose the template whose control tokens the folder's tokenizer knows.

    Raises:
        UsageError: It knows those of none.
    """
    known = set(_special_tokens(folder))
    for name, marks in TEMPLATE_MARKS.items():
        if known.issuperset(marks):
            return name
    raise UsageError(
        f"The tokenizer in {folder} has no chat tokens of a known family ({', '.join(TEMPLATE_MARKS)}). Choose a base "
        "whose tokenizer has them, or add them to its tokenizer and embeddings first."
    )


def parameter_count(folder: Path) -> int:
    """Count the weights from the safetensors' headers."""
    return sum(map(math.prod, weight_shapes(folder).values()))


def weights_mib(folder: Path) -> float:
    """Size of the weights' files in MiB."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2**20


def weight_shapes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    """Read every tensor's name and shape from the safetensors' headers of a model's or an adapter's folder."""
    return {
        name: tuple(tensor["shape"])
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in _header(file).items()
        if name != "__metadata__"
    }


def config_of(folder: Path) -> Mapping[str, Any]:
    """Read `config.json`.

    Raises:
        UsageError: It is missing, not JSON, or not a mapping.
    """
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / 'config.json'} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"{folder / 'config.json'} is no model's configuration: it holds {config!r:.40}.")
    return config


def precision_of(folder: Path) -> Precision:
    """The precision that suits a model's weights as its configuration declares them.

    bfloat16 for weights of 16 bits (float16 too, whose range is too small to train in), float32 for all others and
    where nothing is declared.
    """
    config = config_of(folder)
    parts = (config, config.get("text_config") or {})
    declared = {part.get(name) for part in parts for name in ("dtype", "torch_dtype")}
    return "bfloat16" if declared & {"bfloat16", "float16"} else "float32"


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the relative name and place of every file that belongs to the model."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part in IGNORED_ENTRIES for part in relative.parts):
            yield relative.as_posix(), path


def _special_tokens(folder: Path) -> Iterator[str]:
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"{folder / 'tokenizer.json'} cannot be read: {error}") from error
    return (token["content"] for token in tokenizer.get("added_tokens", ()) if token.get("special"))


def _indexed_files(folder: Path) -> list[str]:
    """The files among which an index spreads a model's weights."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index} is no index of weights: {error}") from error


def _header(file: Path) -> dict[str, Any]:
    """A safetensors file begins with the length of its JSON header as a little-endian 64-bit integer."""
    with file.open("rb") as stream:
        start = stream.read(8)
        try:
            (length,) = struct.unpack("<Q", start)
            header: dict[str, Any] = json.loads(stream.read(min(length, LONGEST_HEADER)))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{file} is not a safetensors file: {error}") from error
    promised, there = 8 + length + max(ends, default=0), file.stat().st_size
    if there < promised:
        raise UsageError(
            f"{file} is cut short: its header promises {promised} bytes, and it has {there}. Copy or fetch it again."
        )
    return header
