"""Token rows in the columns that TRL's collators read, in the order the steps take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budgetctl.training.reference import ReferenceTexts, Text
from budgetctl.training.rows import DemonstrationRow, PairRow, TokenSequence, UnpairedRow

IGNORED = -100
"""The label that Transformers leaves out of a loss."""


def demonstrations(rows: Sequence[DemonstrationRow], stream: Sequence[int]) -> Any:
    """`input_ids` and `labels`."""
    columns = {
        "input_ids": [list(row.text.ids) for row in rows],
        "labels": [
            [token if learn else IGNORED for token, learn in zip(row.text.ids, row.text.learn, strict=True)]
            for row in rows
        ],
    }
    return _dataset(columns).select(stream)


def pairs(rows: Sequence[PairRow], stream: Sequence[int]) -> Any:
    """`prompt_ids`, `chosen_ids`, `rejected_ids`."""
    columns = {
        "prompt_ids": [_unscored(row.chosen) for row in rows],
        "chosen_ids": [_scored(row.chosen) for row in rows],
        "rejected_ids": [_scored(row.rejected) for row in rows],
    }
    return _dataset(columns).select(stream)


def unpaired(rows: Sequence[UnpairedRow], stream: Sequence[int], batch_size: int) -> Any:
    """`prompt_ids`, `completion_ids`, `label`, and `KL_completion_ids`: the answer of the row before in the batch.

    TRL takes the row before in the micro-batch; over the effective batch the estimate does not depend on how that
    is cut.
    """
    before = []
    for start in range(0, len(stream), batch_size):
        batch = stream[start : start + batch_size]
        before += [batch[-1], *batch[:-1]]
    columns = {
        "prompt_ids": [list(rows[index].prompt) for index in stream],
        "completion_ids": [list(rows[index].answer) for index in stream],
        "KL_completion_ids": [list(rows[index].answer) for index in before],
        "label": [rows[index].wanted for index in stream],
    }
    return _dataset(columns)


def texts_of_pairs(rows: Sequence[PairRow]) -> ReferenceTexts:
    """Both answers of every row."""
    return ReferenceTexts(
        [
            Text(tuple(_unscored(side)), tuple(_scored(side)))
            for row in rows
            for side in (row.chosen, row.rejected)
        ]
    )


def texts_of_unpaired(rows: Sequence[UnpairedRow], dataset: Any) -> ReferenceTexts:
    """The answer of every row, and the answers that `unpaired` put behind other prompts."""
    return ReferenceTexts(
        [Text(row.prompt, row.answer) for row in rows],
        [Text(tuple(row["prompt_ids"]), tuple(row["KL_completion_ids"])) for row in dataset],
    )


def _scored(sequence: TokenSequence) -> list[int]:
    return [token for token, learn in zip(sequence.ids, sequence.learn, strict=True) if learn]


def _unscored(sequence: TokenSequence) -> list[int]:
    return [token for token, learn in zip(sequence.ids, sequence.learn, strict=True) if not learn]


def _dataset(columns: dict[str, Any]) -> Any:
    from datasets import Dataset  # noqa: PLC0415

    return Dataset.from_dict(columns)
