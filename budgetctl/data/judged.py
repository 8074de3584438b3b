"""Rows made from a checkpoint's own answers: pairs of right over wrong, and best of n.

Rules, stated once. An answer is right when the task's primary metric is 1. An answer that was cut at the length limit
is never chosen, since it teaches to go on without end; where the scorer calls it right it is not rejected either, and
counted as unused. Repeated answers to a prompt count once. A prompt with no right or no wrong answer gives no pair, and
one with no right answer gives no SFT row; both are counted on the card. What is chosen is the right answer that the
model itself finds likeliest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from blake3 import blake3

from budgetctl.data.sources.source import Row

Rejected = Literal["random", "hardest", "nearest"]


@dataclass(frozen=True)
class Answer:
    """A sampled answer with its verdict."""

    text: str
    right: bool
    logprob: float
    """Of the whole answer under the model that gave it."""
    cut: bool = False
    """Whether it ran into the length limit instead of ending."""


@dataclass
class Judged:
    """Makes rows of judged answers, and counts prompts that give none."""

    rejected: Rejected
    seed: int
    without: Counter[str] = field(default_factory=Counter)
    unused: int = 0
    """Distinct answers that the scorer calls right and that were cut."""

    def pairs(
        self, prompt_id: str, prompt: Sequence[Mapping[str, str]], answers: Sequence[Answer]
    ) -> Iterator[Row]:
        """At most one pair a prompt, so that a budget of pairs is one of prompts too."""
        right, wrong = self._sides(answers)
        if not right or not wrong:
            self.without[
                "prompts without a right answer" if not right else "prompts without a wrong answer"
            ] += 1
            return
        chosen = _likeliest(right)
        rejected = self._rejected(prompt_id, chosen, wrong)
        yield {"prompt": list(prompt), "chosen": _said(chosen), "rejected": _said(rejected)}

    def best(self, prompt: Sequence[Mapping[str, str]], answers: Sequence[Answer]) -> Iterator[Row]:
        """The likeliest right answer, as an SFT row (rejection sampling)."""
        right, _ = self._sides(answers)
        if not right:
            self.without["prompts without a right answer"] += 1
            return
        yield {"messages": [*prompt, *_said(_likeliest(right))]}

    def _sides(self, answers: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
        distinct: dict[str, Answer] = {}
        for answer in answers:
            known = distinct.get(answer.text)
            if answer.text.strip() and (known is None or (known.cut and not answer.cut)):
                distinct[answer.text] = answer
        ordered = sorted(distinct.values(), key=lambda answer: answer.text)
        right, wrong = (
            [answer for answer in ordered if answer.right],
            [answer for answer in ordered if not answer.right],
        )
        ended = [answer for answer in right if not answer.cut]
        self.unused += len(right) - len(ended)
        return ended, wrong

    def _rejected(self, prompt_id: str, chosen: Answer, wrong: Sequence[Answer]) -> Answer:
        if self.rejected == "hardest":
            return _likeliest(wrong)
        if self.rejected == "nearest":
            return min(wrong, key=lambda answer: (abs(len(answer.text) - len(chosen.text)), answer.text))
        draw = blake3(
            f"{self.seed}\x1f{prompt_id}".encode(), derive_key_context="budgetctl rejected answer 1"
        )
        return wrong[int.from_bytes(draw.digest(length=8), "big") % len(wrong)]


def _likeliest(answers: Sequence[Answer]) -> Answer:
    return max(answers, key=lambda answer: (answer.logprob, answer.text))


def _said(answer: Answer) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": answer.text}]
