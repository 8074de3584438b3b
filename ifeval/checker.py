"""What every checker is: built from an instruction, asked about texts."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from ifeval.instruction import Instruction
from ifeval.text.languages import LanguageDetector
from ifeval.text.sentences import SentenceSplitter


@dataclass(frozen=True)
class Toolbox:
    """What checkers share: text models, loaded when first used, and the choice of rules.

    Attributes:
        compat: Reproduce lm-eval's verdicts also where it has a bug (listed in
            `docs/decisions/0202-ifeval-differences.md`).
        languages: The seeded language detector.
        sentences: The sentence splitter.
        draws: Only used with `compat`, for the one kind that lm-eval decides by drawing a letter.
    """

    compat: bool = False
    languages: LanguageDetector = field(default_factory=LanguageDetector)
    sentences: SentenceSplitter = field(default_factory=SentenceSplitter)
    draws: random.Random = field(default_factory=lambda: random.Random(0))


class Checker(ABC):
    """Decides whether a text follows one instruction."""

    takes: ClassVar[frozenset[str]] = frozenset()
    """Names of the arguments this kind knows."""

    draws: ClassVar[bool] = False
    """Whether a verdict depends on a draw, made anew for the strict and for the loose pass."""

    @classmethod
    @abstractmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> "Checker":
        """Read the arguments.

        Raises:
            PromptError: an argument is missing or not of its type.
        """

    @abstractmethod
    def follows(self, text: str) -> bool:
        """Whether `text`, which is never blank, follows the instruction."""

    def draw(self) -> None:
        """Draw what `draws` speaks of."""
        raise NotImplementedError(f"{type(self).__name__} decides without drawing")


Builder = Callable[[Instruction, Toolbox], Checker]
