"""What every task offers: its prompt conventions and its scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from budgetctl.errors import UsageError


@dataclass(frozen=True)
class Part:
    """The verdict on one part of a question, such as one of several instructions.

    Attributes:
        kind: What the part asks for.
        scores: Metric name → value in [0, 1]. The metric of an evaluation is the mean over all parts of all answers.
    """

    kind: str
    scores: Mapping[str, float]


class Task(Protocol):
    """A kind of question with a way to score answers. Implementations import nothing heavy."""

    @property
    def name(self) -> str:
        """As written in a recipe."""

    @property
    def system_prompt(self) -> str | None:
        """The system message of every row and every evaluation prompt; None for no system message."""

    @property
    def max_new_tokens(self) -> int:
        """How long an answer may get when a recipe does not say."""

    @property
    def primary_metric(self) -> str:
        """The metric that tables and decisions use; one of those that `score` returns."""

    @property
    def loose_metric(self) -> str | None:
        """The forgiving reading of the primary metric; None where there is but one reading."""

    @property
    def scorer_version(self) -> int:
        """Raised whenever `score` or `parts` may judge an old answer differently."""

    def check_reference(self, reference: str) -> None:
        """Check that `score` can compare answers with a reference.

        Raises:
            UsageError: It cannot.
        """

    def score(self, text: str, reference: str, truncated: bool) -> Mapping[str, float]:
        """Judge one answer as a whole.

        Args:
            text: The generated answer, special tokens removed.
            reference: The `reference` column of the prompt's eval row.
            truncated: Whether generation ran into its length limit instead of ending the answer.

        Returns:
            Metric name → value in [0, 1].

        Raises:
            UsageError: The reference is not one.
        """

    def parts(self, text: str, reference: str) -> Sequence[Part]:
        """Judge the parts of a question one by one, by metrics of their own; none where it has no parts.

        Args:
            text: As for `score`.
            reference: As for `score`.
        """


def metric_read(task: Task, strict: bool) -> str:
    """The task's metric that says whether an answer is right, by its strict or its forgiving reading.

    Raises:
        UsageError: The task has no forgiving reading.
    """
    if strict:
        return task.primary_metric
    if task.loose_metric is None:
        raise UsageError(
            f"task {task.name} reads answers in one way only, so there is no loose reading (`strict: false`, --loose) "
            "of them; leave it out"
        )
    return task.loose_metric
