r"""The GSM8K readings as two regular expressions: short, and an independent check of the reader that scans by hand.

They take time that grows faster than the text (`"#" * 4000` takes seconds), so they read short texts only.
"""

import re
from collections import deque
from fractions import Fraction

from budgetctl.scoring.gsm8k import Gsm8kReading

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


def read_by_regex(text: str) -> Gsm8kReading:
    """Both readings of a short text."""
    marked = _MARK.search(text)
    last = deque(_NUMBER.finditer(text), maxlen=1)
    return Gsm8kReading(strict=_value(marked) if marked else None, flexible=_value(last[0]) if last else None)


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
