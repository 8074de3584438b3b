"""Family `detectable_content`: placeholders and a postscript (paper, table 1)."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.instruction import Instruction, compile_words

# The two markers of the official prompts, loosened as in IFEval's own code: white space may follow each period.
_KNOWN_MARKERS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}


@dataclass(frozen=True)
class NumberOfPlaceholders(Checker):
    """`detectable_content:number_placeholders`: at least so many pairs of square brackets, each within a line."""

    takes: ClassVar[frozenset[str]] = frozenset({"num_placeholders"})
    wanted: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.count("num_placeholders"))

    def follows(self, text: str) -> bool:
        return sum(map(_bracket_pairs, text.split("\n"))) >= self.wanted


def _bracket_pairs(line: str) -> int:
    pairs, opened = 0, line.find("[")
    while opened >= 0:
        closed = line.find("]", opened)
        if closed < 0:
            break
        pairs, opened = pairs + 1, line.find("[", closed)
    return pairs


@dataclass(frozen=True)
class Postscript(Checker):
    """`detectable_content:postscript`: the postscript's marker occurs, in any case."""

    takes: ClassVar[frozenset[str]] = frozenset({"postscript_marker"})
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        marker = instruction.text("postscript_marker").strip()
        written = marker.lower() if tools.compat else re.escape(marker.lower())
        return cls(compile_words(_KNOWN_MARKERS.get(marker, written), instruction.kind))

    def follows(self, text: str) -> bool:
        return self.pattern.search(text.lower()) is not None
