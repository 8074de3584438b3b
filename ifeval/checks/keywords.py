"""Family `keywords`: words and letters that must, or must not, occur (paper, table 1)."""

import random
import re
import string
from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.errors import PromptError
from ifeval.instruction import Instruction, compare, compile_words
from ifeval.text.occurrences import Occurrences


@dataclass(frozen=True)
class Existence(Checker):
    """`keywords:existence`: each keyword occurs, in any case, also inside a longer word."""

    takes: ClassVar[frozenset[str]] = frozenset({"keywords"})
    words: tuple[Occurrences, ...]

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(tuple(_occurrences(word, instruction, tools) for word in instruction.texts("keywords")))

    def follows(self, text: str) -> bool:
        return all(word.occurs(text) for word in self.words)


@dataclass(frozen=True)
class Frequency(Checker):
    """`keywords:frequency`: a keyword occurs at least, or less than, so many times, also inside longer words."""

    takes: ClassVar[frozenset[str]] = frozenset({"keyword", "frequency", "relation"})
    word: Occurrences
    relation: str
    bound: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        word = _occurrences(instruction.text("keyword").strip(), instruction, tools)
        return cls(word, instruction.relation("relation"), instruction.count("frequency"))

    def follows(self, text: str) -> bool:
        return compare(self.word.count(text), self.relation, self.bound)


@dataclass(frozen=True)
class ForbiddenWords(Checker):
    """`keywords:forbidden_words`: none of the words occurs as a word of its own, in any case."""

    takes: ClassVar[frozenset[str]] = frozenset({"forbidden_words"})
    words: tuple[Occurrences, ...]
    whole: re.Pattern[str]

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        words = instruction.texts("forbidden_words")
        if tools.compat:
            alternatives = "|".join(rf"\b{word}\b" for word in words)
        else:
            # Unlike \b, these hold for words such as "C++", which end in no letter.
            alternatives = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words)
        found = tuple(_occurrences(word, instruction, tools) for word in words)
        return cls(found, compile_words(alternatives, instruction.kind, re.IGNORECASE))

    def follows(self, text: str) -> bool:
        return not any(word.occurs(text) for word in self.words) or self.whole.search(text) is None


@dataclass(frozen=True)
class LetterFrequency(Checker):
    """`keywords:letter_frequency`: a character occurs at least, or less than, so many times, in any case.

    Two official prompts count `#` and `!`, which are no letters; they are counted all the same.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"letter", "let_frequency", "let_relation"})
    letter: str
    relation: str
    bound: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Checker:
        letter = instruction.text("letter").lower()
        if len(letter) != 1:
            raise PromptError(f"{instruction.kind}: letter must be one character, got {letter!r}")
        relation, bound = instruction.relation("let_relation"), instruction.count("let_frequency")
        if tools.compat and letter not in string.ascii_lowercase:
            return DrawnLetterFrequency(relation, bound, tools.draws)
        return cls(letter, relation, bound)

    def follows(self, text: str) -> bool:
        return compare(text.lower().count(self.letter), self.relation, self.bound)


class DrawnLetterFrequency(Checker):
    """What lm-eval does when it is told to count a character that is no letter: it counts a random letter."""

    draws: ClassVar[bool] = True

    def __init__(self, relation: str, bound: int, source: random.Random) -> None:
        self._relation = relation
        self._bound = bound
        self._source = source
        self._letter = ""

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Checker:
        return LetterFrequency.of(instruction, tools)

    def draw(self) -> None:
        self._letter = self._source.choice(string.ascii_letters).lower()

    def follows(self, text: str) -> bool:
        return compare(text.lower().count(self._letter), self._relation, self._bound)


def _occurrences(word: str, instruction: Instruction, tools: Toolbox) -> Occurrences:
    if not tools.compat:
        return Occurrences.of(word)
    return Occurrences.of(word, compile_words(word, instruction.kind, re.IGNORECASE))
