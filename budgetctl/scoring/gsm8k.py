"""GSM8K answers: the number after `####` (strict) and the last number (flexible), side by side.

Both readings end in a number that is compared with the reference as a number, so "1,080.00" equals "1080"; how a
number is read, the same in answers and references, stands in `written_numbers`.

The strict reading wants the number directly after the mark, white space and signs other than letters aside; a heading
such as "#### Step 1" is passed over, and the first mark with a number counts, as in lm-eval.
`docs/decisions/0203-gsm8k-readings.md` lists where, and why, the readings differ from lm-eval's two filters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from budgetctl.scoring.intervals import Interval, wilson
from budgetctl.scoring.written_numbers import NumberReader, WrittenNumber

GSM8K_SCORER_VERSION = 1
"""Raised whenever a reading may change, so that stored scores tell which rules they follow."""

_MARK = "####"
_END_OF_GAP = re.compile(r"[\w\n]")


@dataclass(frozen=True)
class Gsm8kReading:
    """The numbers read from one answer; None where there is none."""

    strict: Fraction | None
    flexible: Fraction | None


@dataclass(frozen=True)
class Gsm8kVerdict:
    """Whether each reading equals the reference, and whether the answer was cut off by the token limit."""

    strict: bool
    flexible: bool
    truncated: bool


@dataclass(frozen=True)
class Gsm8kSummary:
    """Accuracies with Wilson intervals, and how many answers were cut off (they are scored as they stand)."""

    n: int
    strict: float
    strict_interval: Interval
    flexible: float
    flexible_interval: Interval
    truncated: int


def read_answer(text: str) -> Gsm8kReading:
    """Read an answer in both ways."""
    reader = NumberReader(text)
    marked = _first_marked(text, reader)
    last = reader.last()
    return Gsm8kReading(
        strict=marked.value if marked else None,
        flexible=last.value if last else None,
    )


def _first_marked(text: str, reader: NumberReader) -> WrittenNumber | None:
    """The number after the first `####` that has one, with neither a letter nor a new line between."""
    mark = text.find(_MARK)
    while mark >= 0:
        behind = mark + len(_MARK)
        found = _END_OF_GAP.search(text, behind)
        gap_end = found.start() if found else len(text)
        for start in (gap_end - 1, gap_end):  # ".5" and LaTeX's fractions begin with a sign that ends the gap
            number = reader.at(start, since=behind) if start >= behind else None
            if number is not None:
                return number
        mark = text.find(_MARK, gap_end)  # marks within this gap lead to its end, too
    return None


def read_reference(text: str) -> Fraction:
    """The number a reference ends in: after `####`, or the last one where there is no mark.

    Raises:
        ValueError: the reference holds no number.
    """
    reading = read_answer(text)
    number = reading.strict if reading.strict is not None else reading.flexible
    if number is None:
        raise ValueError(f"a GSM8K reference must hold a number, got {text[-80:]!r}")
    return number


def score_answer(answer: str, reference: str, truncated: bool = False) -> Gsm8kVerdict:
    """Compare both readings of an answer with the reference.

    Args:
        answer: The generated text.
        reference: The dataset's answer ("… #### 18") or the bare number.
        truncated: Whether generation ended at the token limit.

    Raises:
        ValueError: the reference holds no number.
    """
    number = read_reference(reference)
    reading = read_answer(answer)
    return Gsm8kVerdict(reading.strict == number, reading.flexible == number, truncated)


def summarise(verdicts: Sequence[Gsm8kVerdict], level: float = 0.95) -> Gsm8kSummary:
    """Accuracy of both readings.

    Raises:
        ValueError: there are no verdicts.
    """
    n = len(verdicts)
    strict, flexible = sum(v.strict for v in verdicts), sum(v.flexible for v in verdicts)
    strict_interval, flexible_interval = wilson(strict, n, level), wilson(flexible, n, level)
    return Gsm8kSummary(
        n=n,
        strict=strict / n,
        strict_interval=strict_interval,
        flexible=flexible / n,
        flexible_interval=flexible_interval,
        truncated=sum(v.truncated for v in verdicts),
    )
