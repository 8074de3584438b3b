"""Family `startend`: how the answer ends, and quotes around it (paper, table 1)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.instruction import Instruction


@dataclass(frozen=True)
class EndPhrase(Checker):
    """`startend:end_checker`: the answer ends with the phrase, in any case; quotes after it are tolerated.

    lm-eval takes the quotes off the answer alone, so that a phrase that ends in one is never found.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"end_phrase"})
    phrase: str
    also_in_quotes: bool

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.text("end_phrase").strip().lower(), also_in_quotes=not tools.compat)

    def follows(self, text: str) -> bool:
        body = text.strip().lower()
        return body.strip('"').endswith(self.phrase) or (self.also_in_quotes and body.endswith(self.phrase))


@dataclass(frozen=True)
class Quotation(Checker):
    """`startend:quotation`: straight double quotes around the whole answer."""

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls()

    def follows(self, text: str) -> bool:
        body = text.strip()
        return len(body) > 1 and body.startswith('"') and body.endswith('"')
