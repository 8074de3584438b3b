"""What a Transformers model folder holds, read without loading the model."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from budgetctl.errors import UsageError

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
    """Refuse a folder that is not a model with weights and a tokenizer.

    Raises:
        UsageError: Something is missing; says what.
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


def template_name_for(folder: Path) -> str:
    """Choose the template whose control tokens the folder's tokenizer knows.

    Raises:
        UsageError: It knows those of none; such a base needs `--template`, or tokens of its own.
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
        UsageError: It is missing or not JSON.
    """
    try:
        config: Mapping[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"{folder / 'config.json'} cannot be read: {error}") from error
    return config


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


def _header(file: Path) -> dict[str, Any]:
    """A safetensors file begins with the length of its JSON header as a little-endian 64-bit integer."""
    with file.open("rb") as stream:
        start = stream.read(8)
        try:
            (length,) = struct.unpack("<Q", start)
            header: dict[str, Any] = json.loads(stream.read(min(length, LONGEST_HEADER)))
        except (struct.error, ValueError) as error:
            raise UsageError(f"{file} is not a safetensors file: {error}") from error
    return header
