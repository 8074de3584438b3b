"""Training rows as token ids: read from a data artifact's Parquet, rendered, tokenised and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budgetctl.errors import UsageError
from budgetctl.models.encoding import Encoder
from budgetctl.training.tokens import conversation, origin_of, pair, single, tokenised


@dataclass(frozen=True)
class TokenSequence:
    """Tokens of one text and which of them are scored.

    Attributes:
        ids: Token ids.
        learn: For each id, whether its log-probability counts; never true for the first.
    """

    ids: tuple[int, ...]
    learn: tuple[bool, ...]

    @property
    def learnt(self) -> int:
        """Number of scored tokens."""
        return sum(self.learn)


@dataclass(frozen=True)
class DemonstrationRow:
    """A conversation to imitate."""

    prompt_id: str
    text: TokenSequence


@dataclass(frozen=True)
class PairRow:
    """A prompt with a better and a worse answer, each as a whole sequence."""

    prompt_id: str
    chosen: TokenSequence
    rejected: TokenSequence


@dataclass(frozen=True)
class UnpairedRow:
    """A prompt with one answer that is wanted or not."""

    prompt_id: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    wanted: bool

    @property
    def text(self) -> TokenSequence:
        return joined(self.prompt, self.answer)


def joined(prompt: Sequence[int], answer: Sequence[int]) -> TokenSequence:
    """Put an answer behind its prompt; only the answer is scored."""
    return TokenSequence((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))


class Limits:
    """How long a row may be, and what happens to a longer one."""

    def __init__(self, max_length: int, context_length: int, truncate: bool) -> None:
        self.longest = min(max_length, context_length)
        self._truncate = truncate
        self._reason = "max_length" if max_length <= context_length else "the model's context"
        self.truncated = 0

    def fit(self, sequence: TokenSequence, origin: str) -> TokenSequence:
        """Return the sequence, cut at the end if that is allowed.

        Raises:
            UsageError: It is longer than allowed, or cutting would leave nothing to learn.
        """
        if len(sequence.ids) <= self.longest:
            return sequence
        cut = TokenSequence(sequence.ids[: self.longest], sequence.learn[: self.longest])
        if self._truncate and cut.learnt:
            self.truncated += 1
            return cut
        if self._truncate:
            raise UsageError(
                f"{origin} has a prompt of {sequence.learn.index(True)} tokens, and {self._reason} of {self.longest} "
                "would leave nothing of its answer. Raise max_length (up to the model's context), or leave the row out "
                "with max_tokens in the recipe's data (--max-tokens of `budgetctl data`)."
            )
        raise UsageError(
            f"{origin} has {len(sequence.ids)} tokens, more than {self._reason} of {self.longest}. Raise max_length "
            "(up to the model's context), leave the row out with max_tokens in the recipe's data (--max-tokens of "
            "`budgetctl data`), or set overlong: truncate to cut answers short."
        )


def read_demonstrations(
    file: Path, encoder: Encoder, limits: Limits, full: bool, kept: Path | None = None
) -> list[DemonstrationRow]:
    """Read `sft.parquet`; with `full`, the prompt's tokens are learnt too (all but the first).

    Args:
        file: The rows.
        encoder: Template and tokenizer.
        limits: How long a row may be.
        full: Whether the loss counts every token.
        kept: Where the rows' tokens are kept; see `budgetctl.training.tokens`.
    """

    def row(record: Mapping[str, Any]) -> DemonstrationRow:
        ids = tuple(record["ids"])
        learn = (False,) + (True,) * (len(ids) - 1) if full else tuple(record["learn"])
        return DemonstrationRow(record["prompt_id"], limits.fit(TokenSequence(ids, learn), origin_of(record)))

    return [row(record) for record in tokenised(file, conversation, encoder, kept)]


def read_pairs(file: Path, encoder: Encoder, limits: Limits, kept: Path | None = None) -> list[PairRow]:
    """Read `pref.parquet`."""

    def row(record: Mapping[str, Any]) -> PairRow:
        chosen, rejected = (
            limits.fit(joined(record["prompt"], record[side]), f"{origin_of(record)} ({side})")
            for side in ("chosen", "rejected")
        )
        return PairRow(record["prompt_id"], chosen, rejected)

    return [row(record) for record in tokenised(file, pair, encoder, kept)]


def read_unpaired(
    file: Path, encoder: Encoder, limits: Limits, kept: Path | None = None
) -> list[UnpairedRow]:
    """Read `unpaired.parquet`, or `pref.parquet` with each pair taken apart into a wanted and an unwanted row."""

    def row(record: Mapping[str, Any], side: str, wanted: bool, origin: str) -> UnpairedRow:
        prompt = tuple(record["prompt"])
        whole = limits.fit(joined(prompt, record[side]), origin)
        return UnpairedRow(record["prompt_id"], prompt, whole.ids[len(prompt) :], wanted)

    if file.name == "unpaired.parquet":
        return [
            row(record, "answer", record["wanted"], origin_of(record))
            for record in tokenised(file, single, encoder, kept)
        ]
    return [
        row(record, side, side == "chosen", f"{origin_of(record)} ({side})")
        for record in tokenised(file, pair, encoder, kept)
        for side in ("chosen", "rejected")
    ]
