"""Family `punctuation`: no commas (paper, table 1)."""

from dataclasses import dataclass
from typing import Self

from ifeval.checker import Checker, Toolbox
from ifeval.instruction import Instruction


@dataclass(frozen=True)
class NoComma(Checker):
    """`punctuation:no_comma`: the ASCII comma does not occur; those of other scripts may."""

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls()

    def follows(self, text: str) -> bool:
        return "," not in text
