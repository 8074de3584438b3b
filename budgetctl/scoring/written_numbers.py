r"""Numbers as answers write them: groups of digits, decimals, fractions, signs and currency.

How a number is read:

- commas between groups of digits are dropped ("1,234", "1,00,000", LaTeX "1{,}234"), no-break spaces too; in
  "1,2,3", which is a list, each is a number of its own;
- a currency sign ($ € £ ¥ ₹, also LaTeX's `\$`) may stand before it, before or after the sign ("-$5", "$-5");
- what follows does not matter: a unit, a percent sign ("50%" is 50), a full stop, stars, a closing brace;
- `-`, `−`, `–` and `+` directly before it are its sign, unless a letter, digit or closing bracket stands before
  them, as in "10-5" or "pages 3–5";
- fractions are the numbers they are: "3/4", "1 3/4", `\frac{3}{4}`; but not "5/0", nor a date such as "1/2/2024".

Powers of ten ("1e3"), number words ("three") and numbers of more than 60 digits are not read.

Every reading takes time linear in the text, whatever it holds: signs and currency are looked for backwards from the
digits, and a chain of digit groups is measured once, for all numbers that may begin in it.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

_MOST_DIGITS = 60
_SIGNS = frozenset("-−–+")
_NEGATIVE = frozenset("-−–")
_CURRENCY = frozenset("$€£¥₹")
_DIGITS = re.compile(
    r"\\[dt]?frac\{(?P<top>[0-9]+)\}\{(?P<bottom>0*[1-9][0-9]*)\}"
    r"|(?P<mixed>[0-9]+) (?P<over>[0-9]+)/(?P<under>0*[1-9][0-9]*)(?![0-9/])"
    r"|(?<![0-9/])(?P<above>[0-9]+)/(?P<below>0*[1-9][0-9]*)(?![0-9/])"
    r"|(?P<whole>[0-9]+)(?P<decimals>\.[0-9]+)?"
    r"|(?<![0-9])(?P<below_one>\.[0-9]+)"
)
_DECIMALS = re.compile(r"\.[0-9]+")
_NEXT_GROUP = re.compile(r"(?:,|\{,\}|[\u00a0\u2009\u202f])([0-9]+)")


@dataclass(frozen=True)
class WrittenNumber:
    """A number in a text; its value is None where it has more than 60 digits."""

    value: Fraction | None


class NumberReader:
    """Reads the numbers of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._grouped: dict[int, int] = {}
        self._measured = 0

    def last(self) -> WrittenNumber | None:
        """The last number, counted from the left: each begins behind the one before it."""
        found: tuple[re.Match[str], int] | None = None
        end = 0
        while (digits := _DIGITS.search(self._text, end)) is not None:
            found = digits, end
            end = self._end(digits)
        return None if found is None else self._number(*found)

    def at(self, position: int, since: int) -> WrittenNumber | None:
        """The number whose digits begin at `position`, its sign and currency not before `since`."""
        digits = _DIGITS.match(self._text, position)
        return None if digits is None else self._number(digits, since)

    def _end(self, digits: re.Match[str]) -> int:
        if digits["whole"] is None:
            return digits.end()
        end = self._end_of_groups(digits.start(), digits.end("whole"))
        decimals = _DECIMALS.match(self._text, end)
        return decimals.end() if decimals else end

    def _number(self, digits: re.Match[str], since: int) -> WrittenNumber:
        parts = {name: part for name, part in digits.groupdict().items() if part is not None}
        if "whole" in parts:
            end = self._end_of_groups(digits.start(), digits.end("whole"))
            parts["whole"] = self._text[digits.start() : end]
            parts["decimals"] = self._text[end : self._end(digits)]
        if any(len(part) > _MOST_DIGITS for part in parts.values()):
            return WrittenNumber(None)
        size = _size(parts)
        return WrittenNumber(-size if self._is_negative(digits.start(), since) else size)

    def _is_negative(self, start: int, since: int) -> bool:
        """Whether one of the signs before a number, next to its digits and before its currency, is a minus."""
        signs = []
        at = start
        if self._is_sign(at - 1, since):
            at -= 1
            signs.append(self._text[at])
        while at > since and self._text[at - 1] in _CURRENCY:
            at -= 1
            if self._text[at] == "$" and at > since and self._text[at - 1] == "\\":
                at -= 1
        if self._is_sign(at - 1, since):
            signs.append(self._text[at - 1])
        return sum(sign in _NEGATIVE for sign in signs) == 1

    def _is_sign(self, at: int, since: int) -> bool:
        if at < since or self._text[at] not in _SIGNS:
            return False
        before = self._text[at - 1 : at]
        return not (before.isalnum() or before in ("_", ")", "]", "}"))

    def _end_of_groups(self, start: int, end: int) -> int:
        """Where the number that begins with the digits from `start` to `end` ends, further groups included."""
        if start >= self._measured:
            self._measure(start, end)
        return self._grouped.get(start, end)

    def _measure(self, start: int, end: int) -> None:
        """Find, for each group of a chain of them, how far a number goes that begins with it.

        The first group has one to three digits, those between two or three, and the last one three.
        """
        runs = [(start, end)]
        while (group := _NEXT_GROUP.match(self._text, runs[-1][1])) is not None:
            runs.append(group.span(1))
        self._measured = runs[-1][1]
        reach: int | None = None
        for first, last in reversed(runs):
            size = last - first
            if reach is not None and size <= 3:
                self._grouped[first] = reach
            if size == 3 and reach is None:
                reach = last
            elif size not in (2, 3):
                reach = None


def _size(parts: dict[str, str]) -> Fraction:
    if "top" in parts:
        return Fraction(int(parts["top"]), int(parts["bottom"]))
    if "mixed" in parts:
        return int(parts["mixed"]) + Fraction(int(parts["over"]), int(parts["under"]))
    if "above" in parts:
        return Fraction(int(parts["above"]), int(parts["below"]))
    if "below_one" in parts:
        return Fraction("0" + parts["below_one"])
    return Fraction(re.sub(r"[^0-9]", "", parts["whole"]) + parts["decimals"])
