"""Where other programs look for what ends an answer, and what a model of ours must say there.

A base's own end token is that of a document (Llama's `<|end_of_text|>`, Qwen's `<|endoftext|>`). What our training
taught is the template's end of a turn; a program that does not know it would generate on behind the answer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budgetctl.models.encoding import Encoder
from budgetctl.models.folders import files_of
from budgetctl.models.loading import load_tokenizer
from budgetctl.models.templates import Template

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer_config.json", "special_tokens_map.json"
CHAT_TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True)
class Ending:
    """What ends an answer.

    Attributes:
        token: The template's end-of-turn token.
        ids: Its id, and behind it those that end a text for the base.
    """

    token: str
    ids: tuple[int, ...]


def copy_tokenizer(base: Path, to: Path) -> None:
    """Copy the files of a base's tokenizer as they are."""
    for name, path in files_of(base):
        if name.startswith("tokenizer") or name in (
            SPECIAL_TOKENS,
            CHAT_TEMPLATE,
            "vocab.json",
            "merges.txt",
        ):
            shutil.copyfile(path, to / name)


def ending_of(base: Path, template: Template) -> Ending:
    """The end-of-turn token of a template with a base's tokenizer, and the base's own end tokens.

    Raises:
        UsageError: The tokenizer has not got the template's tokens.
    """
    encoder = Encoder(load_tokenizer(base), template)
    own = [
        number
        for name in (GENERATION_CONFIG, CONFIG)
        for number in _listed(_read(base / name).get("eos_token_id"))
    ]
    token = str(encoder.tokenizer.convert_ids_to_tokens(encoder.stop_id))
    return Ending(token, tuple(dict.fromkeys((*encoder.stop_ids, *own))))


def write_ending(base: Path, template: Template, to: Path) -> Ending:
    """Write an exported model's tokenizer, chat template and generation settings, all of which name the ending.

    Args:
        base: The base's folder.
        template: What the model was trained with.
        to: The export; its `config.json`, if it has one, names the ending too.

    Returns:
        The ending.

    Raises:
        UsageError: The tokenizer has not got the template's tokens.
    """
    ending = ending_of(base, template)
    copy_tokenizer(base, to)
    (to / CHAT_TEMPLATE).write_text(template.text, encoding="utf-8")
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", **_read(to / TOKENIZER_CONFIG)}
    tokenizer.pop("chat_template", None)  # that of the base
    _write(to / TOKENIZER_CONFIG, {**tokenizer, "eos_token": ending.token})
    if (to / SPECIAL_TOKENS).exists():
        _write(to / SPECIAL_TOKENS, {**_read(to / SPECIAL_TOKENS), "eos_token": ending.token})
    ids = list(ending.ids) if len(ending.ids) > 1 else ending.ids[0]
    generation = _read(to / GENERATION_CONFIG) or _read(base / GENERATION_CONFIG)
    generation.pop("_from_model_config", None)  # or Transformers would read the base's end token again
    _write(to / GENERATION_CONFIG, {**generation, "eos_token_id": ids})
    if (to / CONFIG).exists():
        _write(to / CONFIG, {**_read(to / CONFIG), "eos_token_id": ids})
    return ending


def _listed(ids: Any) -> list[int]:
    if ids is None:
        return []
    return list(ids) if isinstance(ids, list) else [ids]


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
