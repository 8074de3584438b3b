"""Family `combination`: two answers in one, and the request repeated (paper, table 1)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.instruction import Instruction

_SEPARATOR = "******"


@dataclass(frozen=True)
class TwoResponses(Checker):
    """`combination:two_responses`: two different answers separated by six stars.

    A separator before the first or after the last answer is tolerated, an empty answer between two is not.
    """

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls()

    def follows(self, text: str) -> bool:
        answers = [answer.strip() for answer in text.split(_SEPARATOR)]
        if not all(answers[1:-1]):
            return False
        filled = [answer for answer in answers if answer]
        return len(filled) == 2 and filled[0] != filled[1]


@dataclass(frozen=True)
class RepeatPrompt(Checker):
    """`combination:repeat_prompt`: the answer starts with the request, word for word, in any case."""

    takes: ClassVar[frozenset[str]] = frozenset({"prompt_to_repeat"})
    request: str

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.text("prompt_to_repeat").strip().lower())

    def follows(self, text: str) -> bool:
        return text.strip().lower().startswith(self.request)
