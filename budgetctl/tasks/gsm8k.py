"""GSM8K: grade-school word problems in the layout of their original files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from budgetctl.errors import UsageError
from budgetctl.tasks.task import Part

if TYPE_CHECKING:
    from fractions import Fraction

_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")


def without_calculator_marks(answer: str) -> str:
    """Remove the `<<48/2=24>>` annotations of the original files."""
    return _CALCULATOR_MARK.sub("", answer)


class Gsm8kTask:
    """Scores the final number, read strictly and flexibly."""

    name = "gsm8k"
    system_prompt = (
        "Solve the problem one step at a time, each step on a line of its own. "
        "Finish with a last line that holds only #### and the final number."
    )
    max_new_tokens = 512
    primary_metric = "strict"
    loose_metric = "flexible"
    scorer_version = 1  # `GSM8K_SCORER_VERSION`, without loading numpy to know it; a test compares them

    def check_reference(self, reference: str) -> None:
        """Refuse a reference that holds no number."""
        _number(reference)

    def score(self, text: str, reference: str, truncated: bool) -> Mapping[str, float]:
        """`strict`: the number after `####`; `flexible`: the last number, as in the two common readings.

        Args:
            text: The answer; one that was cut off is scored as it stands.
            reference: The number, or a gold solution that ends with it.
            truncated: Reported by the stage, not judged here.

        Raises:
            UsageError: The reference holds no number.
        """
        from budgetctl.scoring.gsm8k import read_answer  # noqa: PLC0415

        reading, right = read_answer(text), _number(reference)
        return {"strict": float(reading.strict == right), "flexible": float(reading.flexible == right)}

    def parts(self, text: str, reference: str) -> Sequence[Part]:
        """None: an answer is right or wrong as a whole."""
        return ()


def _number(reference: str) -> Fraction:
    """The number that a reference ends in.

    Raises:
        UsageError: It holds none.
    """
    from budgetctl.scoring.gsm8k import read_reference  # noqa: PLC0415

    try:
        return read_reference(reference)
    except ValueError as error:
        raise UsageError(f"the reference of a gsm8k row cannot be read: {error}") from error
