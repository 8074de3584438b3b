"""Lengths in tokens of the rendered template: what a model will really read. Never words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow as pa

from budgetctl.data.layouts import Kind
from budgetctl.data.turns import Conversation, conversations
from budgetctl.models.encoding import Encoder
from budgetctl.models.templates import Template

HISTOGRAM_STEP = 64
"""Tokens a bar of a card's histogram."""
TEXTS_AT_ONCE = 1024


@dataclass
class TokenCounter:
    """Counts the tokens of each row's longest sequence, and remembers the counts of the rows that fit."""

    encoder: Encoder
    kind: Kind
    system_prompt: str | None
    most: int | None
    """Longer rows do not fit; None lets all fit."""
    lengths: list[int] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    """Tokens of all of a row's sequences together."""

    def fits(self, batch: pa.RecordBatch) -> list[bool]:
        """Whether each row of a batch fits, in order."""
        longest, together = [0] * batch.num_rows, [0] * batch.num_rows
        for texts in self._sequences(batch):
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                part = texts[start : start + TEXTS_AT_ONCE]
                encoded: Any = self.encoder.tokenizer(
                    part, add_special_tokens=False, return_attention_mask=False
                )
                for row, ids in enumerate(encoded["input_ids"], start=start):
                    longest[row] = max(longest[row], len(ids))
                    together[row] += len(ids)
        fitting = [self.most is None or length <= self.most for length in longest]
        self.lengths.extend(compress(longest, fitting))
        self.costs.extend(compress(together, fitting))
        return fitting

    def _sequences(self, batch: pa.RecordBatch) -> Iterator[list[str]]:
        """The rendered texts of a batch; pairs have two for each row."""
        if self.kind == "sft":
            yield [self._render(turns) for turns in conversations(batch.column("messages"))]
        elif self.kind == "eval":
            yield [self._render(turns, opened=True) for turns in conversations(batch.column("prompt"))]
        else:
            prompts = list(conversations(batch.column("prompt")))
            for side in ("chosen", "rejected"):
                answers = conversations(batch.column(side))
                yield [
                    self._render([*prompt, *answer]) for prompt, answer in zip(prompts, answers, strict=True)
                ]

    def _render(self, turns: Conversation, opened: bool = False) -> str:
        messages = [{"role": role or "", "content": content or ""} for role, content in turns]
        if self.system_prompt is not None and not (messages and messages[0]["role"] == "system"):
            messages.insert(0, {"role": "system", "content": self.system_prompt})
        return self.encoder.template.render(messages, generation_prompt=opened)


def counter_of(
    base: Path, template: Template, kind: Kind, system_prompt: str | None, most: int | None
) -> TokenCounter:
    """A counter with a base's tokenizer; rows that the base's context cannot hold never fit where there is a limit.

    Args:
        base: Transformers folder.
        template: Renders the rows.
        kind: Their layout.
        system_prompt: Put before rows that have none.
        most: The limit.
    """
    from budgetctl.models.folders import config_of  # noqa: PLC0415
    from budgetctl.models.loading import load_tokenizer  # noqa: PLC0415

    context = config_of(base).get("max_position_embeddings")
    limit = min(most, int(context)) if most is not None and context else most
    return TokenCounter(Encoder(load_tokenizer(base), template), kind, system_prompt, limit)


def statistics(lengths: Sequence[int]) -> dict[str, Any]:
    """Sum, mean, quantiles and a histogram of token counts, for a card.

    Returns:
        `histogram` maps the lower end of each bar of `HISTOGRAM_STEP` tokens to its number of rows.
    """
    if not lengths:
        return {"total": 0}
    ordered = sorted(lengths)
    bars: dict[int, int] = {}
    for length in ordered:
        start = length // HISTOGRAM_STEP * HISTOGRAM_STEP
        bars[start] = bars.get(start, 0) + 1
    quantiles = {
        f"p{share}": ordered[min(len(ordered) * share // 100, len(ordered) - 1)] for share in (5, 50, 95)
    }
    return {
        "total": sum(ordered),
        "mean": round(sum(ordered) / len(ordered), 2),
        "shortest": ordered[0],
        **quantiles,
        "longest": ordered[-1],
        "histogram": {str(start): count for start, count in bars.items()},
    }
