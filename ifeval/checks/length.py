"""Family `length_constraints`: how many words, sentences and paragraphs (paper, table 1)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.errors import PromptError
from ifeval.instruction import Instruction, compare
from ifeval.text.sentences import SentenceSplitter
from ifeval.text.words import count_words

_PARAGRAPH_MARK = "***"
_ENDS_FIRST_WORD = frozenset(".,?!'\"")


@dataclass(frozen=True)
class NumberOfWords(Checker):
    """`length_constraints:number_words`: at least, or less than, so many runs of word characters."""

    takes: ClassVar[frozenset[str]] = frozenset({"relation", "num_words"})
    relation: str
    bound: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.relation("relation"), instruction.count("num_words"))

    def follows(self, text: str) -> bool:
        return compare(count_words(text), self.relation, self.bound)


@dataclass(frozen=True)
class NumberOfSentences(Checker):
    """`length_constraints:number_sentences`: at least, or less than, so many sentences by NLTK's English Punkt."""

    takes: ClassVar[frozenset[str]] = frozenset({"relation", "num_sentences"})
    relation: str
    bound: int
    sentences: SentenceSplitter

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.relation("relation"), instruction.count("num_sentences"), tools.sentences)

    def follows(self, text: str) -> bool:
        return compare(self.sentences.count(text), self.relation, self.bound)


@dataclass(frozen=True)
class NumberOfParagraphs(Checker):
    """`length_constraints:number_paragraphs`: exactly so many paragraphs separated by `***`, none blank.

    A separator before the first or after the last paragraph is tolerated.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"num_paragraphs"})
    wanted: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.count("num_paragraphs"))

    def follows(self, text: str) -> bool:
        filled = [bool(piece.strip()) for piece in text.split(_PARAGRAPH_MARK)]
        return all(filled[1:-1]) and sum(filled) == self.wanted


@dataclass(frozen=True)
class NthParagraphFirstWord(Checker):
    """`length_constraints:nth_paragraph_first_word`: so many paragraphs, and the n-th starts with a word.

    Paragraphs are what two line breaks separate. The number of paragraphs is that of those that are not blank,
    but the n-th is counted among all of them, as in IFEval's own code. The first word is what stands before
    white space or one of . , ? ! ' ", without quotes before it, in any case.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"num_paragraphs", "nth_paragraph", "first_word"})
    wanted: int
    nth: int
    word: str

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        wanted, nth = instruction.count("num_paragraphs", 1), instruction.count("nth_paragraph", 1)
        if nth > wanted:
            raise PromptError(f"{instruction.kind}: nth_paragraph is {nth}, beyond num_paragraphs {wanted}")
        return cls(wanted, nth, instruction.text("first_word").lower())

    def follows(self, text: str) -> bool:
        paragraphs = text.split("\n\n")
        if sum(bool(paragraph.strip()) for paragraph in paragraphs) != self.wanted:
            return False
        words = paragraphs[self.nth - 1].split(maxsplit=1)
        return bool(words) and _bare(words[0]) == self.word


def _bare(word: str) -> str:
    """The letters of a word up to its first punctuation mark, opening quotes aside, lower case."""
    opened = word.lstrip("'").lstrip('"')
    end = next((at for at, letter in enumerate(opened) if letter in _ENDS_FIRST_WORD), len(opened))
    return "".join(letter.lower() for letter in opened[:end])
