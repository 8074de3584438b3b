r"""GSM8K answers: the number after `####` (strict) and the last number (flexible), side by side.

Both readings end in a number that is compared with the reference as a number, so "1,080.00" equals "1080". How a
number is read, the same in answers and references:

- commas between groups of digits are dropped ("1,234", "1,00,000", LaTeX "1{,}234"), no-break spaces too; in
  "1,2,3", which is a list, each is a number of its own;
- a currency sign ($ € £ ¥ ₹, also LaTeX's `\$`) may stand before it, before or after the sign ("-$5", "$-5");
- what follows does not matter: a unit, a percent sign ("50%" is 50), a full stop, stars, a closing brace;
- `-`, `−`, `–` and `+` directly before it are its sign, unless a letter, digit or closing bracket stands before
  them, as in "10-5" or "pages 3–5";
- fractions are the numbers they are: "3/4", "1 3/4", `\frac{3}{4}`; but not "5/0", nor a date such as "1/2/2024".

Powers of ten ("1e3"), number words ("three") and numbers of more than 60 digits are not read. The strict reading
wants the number directly after the mark, white space and signs other than letters aside; a heading such as
"#### Step 1" is passed over, and the first mark with a number counts, as in lm-eval.
`docs/decisions/0203-gsm8k-readings.md` lists where, and why, the readings differ from lm-eval's two filters.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from budgetctl.scoring.intervals import Interval, wilson

GSM8K_SCORER_VERSION = 1
"""Raised whenever a reading may change, so that stored scores tell which rules they follow."""

_MOST_DIGITS = 60
_CURRENCY = r"(?:\\?\$|[€£¥₹])*"
_SIGN = "[-−–+]"
_NEGATIVE = frozenset("-−–")
_GROUP_MARK = r"(?:,|\{,\}|[\u00a0\u2009\u202f])"
_WHOLE = rf"(?:[0-9]{{1,3}}(?:{_GROUP_MARK}[0-9]{{2,3}})*{_GROUP_MARK}[0-9]{{3}}(?![0-9])|[0-9]+)"
_NUMBER = re.compile(
    rf"(?:(?<![\w)\]}}])(?P<sign>{_SIGN}))?{_CURRENCY}(?P<inner>(?<![\w)\]}}]){_SIGN})?"
    r"(?:\\[dt]?frac\{(?P<top>[0-9]+)\}\{(?P<bottom>0*[1-9][0-9]*)\}"
    r"|(?P<mixed>[0-9]+) (?P<over>[0-9]+)/(?P<under>0*[1-9][0-9]*)(?![0-9/])"
    r"|(?<![0-9/])(?P<above>[0-9]+)/(?P<below>0*[1-9][0-9]*)(?![0-9/])"
    rf"|(?P<whole>{_WHOLE})(?P<decimals>\.[0-9]+)?"
    r"|(?<![0-9])(?P<below_one>\.[0-9]+))"
)
_MARK = re.compile(rf"####[^\w\n]*?(?P<number>{_NUMBER.pattern})")


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
    marked = _MARK.search(text)
    last = deque(_NUMBER.finditer(text), maxlen=1)
    return Gsm8kReading(
        strict=_value(marked) if marked else None,
        flexible=_value(last[0]) if last else None,
    )


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


def _value(match: re.Match[str]) -> Fraction | None:
    part = match.groupdict()
    if any(
        digits is not None and len(digits) > _MOST_DIGITS for name, digits in part.items() if name != "number"
    ):
        return None
    if part["top"] is not None:
        size = Fraction(int(part["top"]), int(part["bottom"]))
    elif part["mixed"] is not None:
        size = int(part["mixed"]) + Fraction(int(part["over"]), int(part["under"]))
    elif part["above"] is not None:
        size = Fraction(int(part["above"]), int(part["below"]))
    else:
        digits = re.sub(r"[^0-9]", "", part["whole"] or "")
        size = Fraction((digits or "0") + (part["decimals"] or part["below_one"] or ""))
    negative = (part["sign"] in _NEGATIVE) != (part["inner"] in _NEGATIVE)
    return -size if negative else size
