"""Which rows can be used, judged one by one: no empty, equal, held out or repeated ones. Loads no Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from budgetctl.data.layouts import Kind
from budgetctl.data.prompt_ids import conversation_id, exact_digest, prompt_id
from budgetctl.data.reasons import EMPTY, EQUAL, HELD_OUT, REPEATED, LeftOut
from budgetctl.data.sources.source import Row, Source

if TYPE_CHECKING:
    from budgetctl.data.turns import Conversation

_SIDE = ("\x1d", "")
"""Stands after the prompt and after each answer in a row's digest, so that turns cannot move between them."""


@dataclass(frozen=True)
class Names:
    """What ranking needs to know of usable rows, and what was left out and why."""

    prompt_ids: Sequence[str]
    digests: Sequence[bytes]
    """16 bytes of each row's whole content; orders several answers to one prompt."""
    lengths: Sequence[int] = ()
    """Tokens of each row's longest sequence, if they were counted."""
    costs: Sequence[int] = ()
    """Tokens of each row's sequences together: what it costs of a token budget."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    held_out: Mapping[str, set[bytes]] = field(default_factory=dict)
    """Prompts of the rows that were left out because an evaluation has them: id → digests of their exact texts."""

    def __len__(self) -> int:
        return len(self.prompt_ids)


class Sift:
    """Decides row by row, and remembers what it has seen."""

    def __init__(self, held_out: frozenset[str], why_held_out: str = HELD_OUT) -> None:
        self._held_out, self._why_held_out = held_out, why_held_out
        self._seen: set[bytes] = set()
        self.prompt_ids: list[str] = []
        self.digests: list[bytes] = []
        self.left_out = LeftOut()
        self.found_held_out: dict[str, set[bytes]] = {}

    def takes(self, prompt: Conversation, answers: list[Conversation]) -> bool:
        """Whether a row can be used; its name and digest are noted, or why not."""
        reason = self._judge(prompt, answers)
        if reason is not None:
            self.left_out[reason] += 1
        return reason is None

    def _judge(self, prompt: Conversation, answers: list[Conversation]) -> str | None:
        if not _complete(prompt) or not all(map(_complete, answers)):
            return EMPTY
        if len(answers) == 2 and answers[0] == answers[1]:
            return EQUAL
        name = conversation_id(prompt)  # type: ignore[arg-type]  # complete: no role and no text is missing
        if name in self._held_out:
            self.found_held_out.setdefault(name, set()).add(exact_digest(prompt))
            return self._why_held_out
        parts = [f"{role}\x1f{text}" for turns in (prompt, *answers) for role, text in (*turns, _SIDE)]
        whole = "\x1e".join(parts)
        digest = blake3(whole.encode("utf-8", "surrogatepass")).digest(length=16)
        if digest in self._seen:
            return REPEATED
        self._seen.add(digest)
        self.prompt_ids.append(name)
        self.digests.append(digest)
        return None


def _complete(turns: Conversation) -> bool:
    """Whether there are turns, and every one has a role and a text that is not blank."""
    for role, text in turns:
        if not role or not text or text.isspace():
            return False
    return bool(turns)


def names_in(
    source: Source, kind: Kind, located: Mapping[str, Path], held_out: frozenset[str] = frozenset()
) -> Names:
    """As `budgetctl.data.pool.load_pool`, of a small source's training rows, without Arrow and without keeping them.

    Args:
        source: Where the rows come from.
        kind: `sft` or `pref`.
        located: Content hash → path of local sources.
        held_out: Prompt ids that must not appear.
    """
    sift = Sift(held_out)
    for row in source.rows(kind, "train", located, sift.left_out):
        sift.takes(*_sides(row, kind))
    return Names(sift.prompt_ids, sift.digests, (), (), dict(sift.left_out), sift.found_held_out)


def held_out_names(source: Source, located: Mapping[str, Path]) -> frozenset[str]:
    """As `budgetctl.data.pool.held_out_prompts`, of a small source and without Arrow."""
    rows = (row for split in ("dev", "test") for row in source.rows("eval", split, located))
    return frozenset(prompt_id(row["prompt"]) for row in rows)


def _sides(row: Row, kind: Kind) -> tuple[Conversation, list[Conversation]]:
    if kind == "sft":
        turns = _turns(row["messages"])
        return turns[:-1], [turns[-1:]]
    return _turns(row["prompt"]), [_turns(row["chosen"]), _turns(row["rejected"])]


def _turns(turns: Iterable[Mapping[str, str]]) -> Conversation:
    return [(turn["role"], turn["content"]) for turn in turns]
