"""Family `change_case`: everything in capitals or small letters, or some words in capitals (paper, table 1)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.instruction import Instruction, compare
from ifeval.text.capitals import count_capital_words
from ifeval.text.languages import LanguageDetector
from ifeval.text.sentences import SentenceSplitter

_ENGLISH = "en"


@dataclass(frozen=True)
class EnglishCapital(Checker):
    """`change_case:english_capital`: no small letters, and langdetect takes the answer to be English."""

    languages: LanguageDetector
    undetected: bool

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(tools.languages, undetected=tools.compat)

    def follows(self, text: str) -> bool:
        return text.isupper() and _is_english(self.languages, text, self.undetected)


@dataclass(frozen=True)
class EnglishLowercase(Checker):
    """`change_case:english_lowercase`: no capitals, and langdetect takes the answer to be English."""

    languages: LanguageDetector
    undetected: bool

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(tools.languages, undetected=tools.compat)

    def follows(self, text: str) -> bool:
        return text.islower() and _is_english(self.languages, text, self.undetected)


def _is_english(languages: LanguageDetector, text: str, undetected: bool) -> bool:
    verdict = languages.is_language(text, _ENGLISH)
    return undetected if verdict is None else verdict


@dataclass(frozen=True)
class CapitalWordFrequency(Checker):
    """`change_case:capital_word_frequency`: at least, or less than, so many words in capitals.

    Words are tokens of the Penn Treebank convention, as NLTK's `word_tokenize` has them: "I" is one, "IT'S" two.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"capital_relation", "capital_frequency"})
    relation: str
    bound: int
    sentences: SentenceSplitter

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        relation = instruction.relation("capital_relation")
        return cls(relation, instruction.count("capital_frequency"), tools.sentences)

    def follows(self, text: str) -> bool:
        return compare(count_capital_words(text, self.sentences), self.relation, self.bound)
