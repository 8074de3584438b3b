"""One verifiable instruction: its kind and its arguments, read and checked once."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from ifeval.errors import PromptError

AT_LEAST = "at least"
LESS_THAN = "less than"

Value = str | int | tuple[str, ...]


@dataclass(frozen=True)
class Instruction:
    """A kind such as `keywords:frequency` and the arguments its prompt fixes.

    Attributes:
        kind: Family and kind, separated by a colon.
        arguments: Name and value pairs, sorted by name; lists are tuples, so that instructions can be keys.
    """

    kind: str
    arguments: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, kind: str, arguments: Mapping[str, Any]) -> "Instruction":
        """Build from a mapping as prompt files hold it; null values count as left out.

        Raises:
            PromptError: a value is neither text, a whole number nor a list of texts.
        """
        named = {name: _plain(kind, name, value) for name, value in arguments.items() if value is not None}
        return cls(kind, tuple(sorted(named.items())))

    def expect(self, names: Set[str]) -> None:
        """Refuse arguments that this kind does not know.

        Raises:
            PromptError: an argument's name is not in `names`.
        """
        unknown = sorted({name for name, _ in self.arguments} - names)
        if unknown:
            takes = ", ".join(sorted(names)) or "no arguments"
            raise PromptError(f"{self.kind} does not know the argument {unknown[0]!r}; it takes {takes}")

    def count(self, name: str, least: int = 0) -> int:
        """A whole number of at least `least`."""
        value = self._value(name)
        if not isinstance(value, int) or value < least:
            raise PromptError(
                f"{self.kind}: {name} must be a whole number of at least {least}, got {value!r}"
            )
        return value

    def text(self, name: str) -> str:
        """A text that is not blank."""
        value = self._value(name)
        if not isinstance(value, str) or not value.strip():
            raise PromptError(f"{self.kind}: {name} must be a text that is not blank, got {value!r}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """At least one text, none of them blank."""
        value = self._value(name)
        if not isinstance(value, tuple) or not value or not all(text.strip() for text in value):
            raise PromptError(f"{self.kind}: {name} must be a list of texts, none blank, got {value!r}")
        return value

    def relation(self, name: str) -> str:
        """One of the two comparisons that IFEval's prompts use."""
        value = self._value(name)
        if value not in (AT_LEAST, LESS_THAN):
            raise PromptError(f"{self.kind}: {name} must be {AT_LEAST!r} or {LESS_THAN!r}, got {value!r}")
        return str(value)

    def _value(self, name: str) -> Value:
        for own, value in self.arguments:
            if own == name:
                return value
        raise PromptError(f"{self.kind} needs the argument {name!r}, which its prompt leaves out")


def compare(count: int, relation: str, bound: int) -> bool:
    """Whether `count` is less than, or at least, `bound`."""
    return count < bound if relation == LESS_THAN else count >= bound


def compile_words(pattern: str, kind: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Compile a pattern that may hold a prompt's words as they are, which `--compat` takes for patterns.

    Raises:
        PromptError: they are no valid pattern.
    """
    try:
        return re.compile(pattern, flags)
    except re.error as problem:
        raise PromptError(
            f"{kind}: {pattern!r} is no regular expression ({problem}), which --compat needs"
        ) from problem


def _plain(kind: str, name: str, value: Any) -> Value:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # tables with gaps turn whole numbers into floats
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise PromptError(f"{kind}: {name} must be text, a whole number or a list of texts, got {value!r}")
