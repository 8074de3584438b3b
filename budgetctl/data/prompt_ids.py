"""Stable prompt ids: the same question has the same id in every source, file and order."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from blake3 import blake3

_ID_BYTES = 12


def normalised(text: str) -> str:
    """Unify Unicode compatibility forms (NFKC), letter case and blanks."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.split()).casefold()


def prompt_id(turns: Iterable[Mapping[str, str]]) -> str:
    """Name a prompt by the normalised text of its turns, system messages left out.

    Args:
        turns: The conversation up to the answer, as `{role, content}`.
    """
    return conversation_id((turn["role"], turn["content"]) for turn in turns)


def conversation_id(turns: Iterable[tuple[str, str]]) -> str:
    """As `prompt_id`, of (role, content) pairs."""
    text = "\x1e".join([f"{role}\x1f{normalised(content)}" for role, content in turns if role != "system"])
    return blake3(text.encode("utf-8", "surrogatepass")).hexdigest(length=_ID_BYTES)


def exact_digest(turns: Iterable[tuple[str | None, str | None]]) -> bytes:
    """A digest of a prompt as it is written, system messages left out."""
    text = "\x1e".join(f"{role}\x1f{content}" for role, content in turns if role != "system")
    return blake3(text.encode("utf-8", "surrogatepass")).digest(length=_ID_BYTES)
