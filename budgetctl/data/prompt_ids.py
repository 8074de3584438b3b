"""Stable prompt ids: the same question has the same id in every source, file and order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from blake3 import blake3

_BLANKS = re.compile(r"\s+")
_ID_BYTES = 12


def normalised(text: str) -> str:
    """Unify Unicode compatibility forms (NFKC), letter case and blanks."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()


def prompt_id(turns: Sequence[Mapping[str, str]]) -> str:
    """Name a prompt by the normalised text of its turns, system messages left out.

    Args:
        turns: The conversation up to the answer, as `{role, content}`.
    """
    spoken = [turn for turn in turns if turn["role"] != "system"]
    text = "\x1e".join(f"{turn['role']}\x1f{normalised(turn['content'])}" for turn in spoken)
    return blake3(text.encode("utf-8", "surrogatepass")).hexdigest(length=_ID_BYTES)
