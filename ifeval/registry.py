"""From the name of a kind to its checker."""

from types import MappingProxyType

from ifeval.checker import Checker, Toolbox
from ifeval.checks import (
    case,
    combination,
    content,
    formats,
    keywords,
    languages,
    length,
    punctuation,
    startend,
)
from ifeval.errors import PromptError
from ifeval.instruction import Instruction

KINDS = MappingProxyType[str, type[Checker]](
    {
        "change_case:capital_word_frequency": case.CapitalWordFrequency,
        "change_case:english_capital": case.EnglishCapital,
        "change_case:english_lowercase": case.EnglishLowercase,
        "combination:repeat_prompt": combination.RepeatPrompt,
        "combination:two_responses": combination.TwoResponses,
        "detectable_content:number_placeholders": content.NumberOfPlaceholders,
        "detectable_content:postscript": content.Postscript,
        "detectable_format:constrained_response": formats.FixedAnswer,
        "detectable_format:json_format": formats.JsonFormat,
        "detectable_format:multiple_sections": formats.NumberOfSections,
        "detectable_format:number_bullet_lists": formats.NumberOfBullets,
        "detectable_format:number_highlighted_sections": formats.NumberOfHighlights,
        "detectable_format:title": formats.Title,
        "keywords:existence": keywords.Existence,
        "keywords:forbidden_words": keywords.ForbiddenWords,
        "keywords:frequency": keywords.Frequency,
        "keywords:letter_frequency": keywords.LetterFrequency,
        "language:response_language": languages.ResponseLanguage,
        "length_constraints:nth_paragraph_first_word": length.NthParagraphFirstWord,
        "length_constraints:number_paragraphs": length.NumberOfParagraphs,
        "length_constraints:number_sentences": length.NumberOfSentences,
        "length_constraints:number_words": length.NumberOfWords,
        "punctuation:no_comma": punctuation.NoComma,
        "startend:end_checker": startend.EndPhrase,
        "startend:quotation": startend.Quotation,
    }
)


def checker_for(instruction: Instruction, tools: Toolbox) -> Checker:
    """The checker of an instruction.

    Raises:
        PromptError: no such kind, or arguments that do not fit it.
    """
    kind = KINDS.get(instruction.kind)
    if kind is None:
        raise PromptError(
            f"no instruction kind is called {instruction.kind!r}; there are: {', '.join(KINDS)}"
        )
    instruction.expect(kind.takes)
    return kind.of(instruction, tools)
