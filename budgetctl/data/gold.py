"""Gold answers of evaluation rows: what a model's perplexity is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from budgetctl.data.layouts import file_of
from budgetctl.errors import UsageError
from budgetctl.models.templates import Message
from budgetctl.tasks.gsm8k import without_calculator_marks
from store import Artifact


@dataclass(frozen=True)
class GoldRow:
    """A prompt and a good answer to it.

    Attributes:
        prompt_id: Who it is.
        prompt: Turns before the answer, the system message among them.
        answer: The answer's text, GSM8K's calculator marks removed as in training.
    """

    prompt_id: str
    prompt: tuple[Message, ...]
    answer: str


def gold_rows(data: Artifact) -> list[GoldRow]:
    """Return the rows of an eval data artifact that have a gold answer, in its order.

    Raises:
        UsageError: It holds no eval rows, or none of them has a gold answer.
    """
    file = file_of("eval")
    if file not in data.files:
        raise UsageError(
            f"data {data.key[:12]} holds {', '.join(sorted(data.files))}, no {file}; make evaluation rows with "
            "`budgetctl data … --kind eval`"
        )
    return gold_rows_in(data.path(file), f"data {data.key[:12]} ({data.identity.get('task')})")


def gold_rows_in(file: Path, what: str) -> list[GoldRow]:
    """As `gold_rows`, of a file of eval rows.

    Args:
        file: `eval.parquet`.
        what: What a message calls it.

    Raises:
        UsageError: No row has a gold answer.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = pq.read_table(file)
    answers = table["answer"].to_pylist() if "answer" in table.column_names else []
    rows = [
        GoldRow(prompt_id, tuple(prompt), without_calculator_marks(answer))
        for prompt_id, prompt, answer in zip(
            table["prompt_id"].to_pylist(), table["prompt"].to_pylist(), answers, strict=False
        )
        if answer
    ]
    if not rows:
        raise UsageError(
            f"the rows of {what} have no gold answers, so there is nothing to take a perplexity of; name the column "
            "that holds them (data.options.eval.columns.answer), or measure the model's own answers"
        )
    return rows
