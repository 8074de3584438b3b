"""Sentence boundaries by the Punkt algorithm (Kiss and Strunk 2006, Computational Linguistics 32(4)).

A boundary is a `.`, `?` or `!` before white space or closing punctuation, unless the period belongs to an
abbreviation, an initial or a number that the next word continues. What counts as a token, and which cases the
heuristics of the paper's section 4 decide, follows NLTK's reading of it, whose English model is used; the
verdicts are compared with NLTK's in `tests/ifeval`. Own code because importing NLTK costs more than scoring a
whole benchmark, and because a count must not change with the version of NLTK that happens to be installed.
"""

import functools
import itertools
from dataclasses import dataclass

import regex

from ifeval.text.punkt_model import PunktModel, load_punkt_model

_CLOSING = r"""[)";}\]*:@'({\[‘’“”«»?!]"""
_DASHES_OR_DOTS = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"
_CANDIDATE = regex.compile(rf"[.?!](?=(?P<after>{_CLOSING}|\s+(?P<next>\S+)))")
_TOKEN = regex.compile(
    rf"{_DASHES_OR_DOTS}"
    rf"|(?=[^(\"`{{\[:;&#*@)}}\]\-,])\S+?(?=\s|$|{_CLOSING}|{_DASHES_OR_DOTS}|,(?=$|\s|{_CLOSING}|{_DASHES_OR_DOTS}))"
    r"|\S"
)
_CLOSERS_BEFORE_SPACE = regex.compile(r"""["')\]}‘’“”«»]+?(?:\s+|(?=--)|$)""", regex.MULTILINE)
_CLOSERS = frozenset("\"')]}‘’“”«»")
_NUMBER = regex.compile(r"-?[.,]?\d[\d,.-]*\.?")
_INITIAL = regex.compile(r"[^\W\d]\.")
_ELLIPSIS = regex.compile(r"\.\.+")
_RARE_SPACE = "\t\r\x0b\x0c"
_NUMBER_TYPE = "##number##"

# Bits of `PunktModel.orthography`: where, and in which case, a word was seen in training.
_UPPER_INSIDE = 1 << 2
_UPPER_ANYWHERE = (1 << 1) | _UPPER_INSIDE | (1 << 3)
_LOWER_AT_START = 1 << 4
_LOWER_ANYWHERE = _LOWER_AT_START | (1 << 5) | (1 << 6)

_REMEMBERED_DECISIONS = 1 << 16


class SentenceSplitter:
    """Splits English text into sentences; the model is read when the first text comes."""

    def __init__(self, model: PunktModel | None = None) -> None:
        self._model = model
        self._is_break = functools.lru_cache(maxsize=_REMEMBERED_DECISIONS)(self._decide)

    def count(self, text: str) -> int:
        """How many sentences `text` has."""
        return len(self.spans(text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each sentence; closing quotes and brackets go with the sentence they close."""
        pieces = self._pieces(text)
        spans = []
        shift = 0
        for (start, stop), (next_start, next_stop) in itertools.pairwise(pieces):
            closing = text[next_start : next_start + 1] in _CLOSERS
            closers = _CLOSERS_BEFORE_SPACE.match(text[next_start:next_stop]) if closing else None
            if closers:
                spans.append((start + shift, next_start + len(closers.group().rstrip())))
            elif start + shift < stop:
                spans.append((start + shift, stop))
            shift = closers.end() if closers else 0
        start, stop = pieces[-1]
        if start + shift < stop:
            spans.append((start + shift, stop))
        return spans

    def _pieces(self, text: str) -> list[tuple[int, int]]:
        """Spans between boundaries, before closing punctuation is moved to the sentence it closes."""
        pieces = []
        begin = 0
        for word_start, end in _candidates(text):
            after, following, following_start = end
            if self._is_break(text[word_start:after] + following):
                pieces.append((begin, after))
                begin = following_start
        pieces.append((begin, len(text.rstrip())))
        return pieces

    def _decide(self, context: str) -> bool:
        """Whether a boundary lies inside `context`: a word, its end mark, and what follows."""
        tokens = [_Token.of(text) for line in context.split("\n") for text in _TOKEN.findall(line)]
        model = self._loaded()
        return any(_ends_sentence(token, following, model) for token, following in itertools.pairwise(tokens))

    def _loaded(self) -> PunktModel:
        if self._model is None:
            self._model = load_punkt_model()
        return self._model


def _candidates(text: str) -> list[tuple[int, tuple[int, str, int]]]:
    """Possible boundaries, only the last of each run without white space.

    Each is the start of its word, and then: the end of its mark, the text after it that counts, and where a
    next sentence would start.
    """
    found: list[tuple[int, tuple[int, str, int]]] = []
    rare = [character for character in _RARE_SPACE if character in text]
    start = mark = 0
    for match in _CANDIDATE.finditer(text):
        at, end = match.span()
        space = max(text.rfind(" ", mark, at), text.rfind("\n", mark, at))
        for character in rare:
            space = max(space, text.rfind(character, mark, at))
        word_start = space + 1 if space > mark else start
        if found and mark > word_start:
            found.pop()
        start, mark = word_start, at
        after, following = match.group("after", "next")
        found.append((start, (end, after, match.start("next") if following else end)))
    return found


@dataclass(frozen=True)
class _Token:
    """A token with its case-folded type; all numbers are of one type."""

    text: str
    type: str

    @classmethod
    def of(cls, text: str) -> "_Token":
        lower = text.lower()
        return cls(text, _NUMBER_TYPE if _NUMBER.fullmatch(lower) else lower)

    @property
    def type_without_period(self) -> str:
        return self.type[:-1] if len(self.type) > 1 and self.type.endswith(".") else self.type


def _is_abbreviation(text: str, model: PunktModel) -> bool:
    stem = text[:-1].lower()
    return stem in model.abbreviations or stem.rsplit("-", 1)[-1] in model.abbreviations


def _looks_final(token: _Token, model: PunktModel) -> bool:
    """First pass: an end mark, or a word with one period that is no known abbreviation."""
    if token.text in (".", "?", "!"):
        return True
    return (
        token.text.endswith(".") and not token.text.endswith("..") and not _is_abbreviation(token.text, model)
    )


def _ends_sentence(token: _Token, following: _Token, model: PunktModel) -> bool:
    """Second pass: the first pass's guess, corrected by the next token (section 4 of the paper)."""
    final = _looks_final(token, model)
    if not token.text.endswith("."):
        return final
    stem = token.type_without_period
    next_type = following.type_without_period if _looks_final(following, model) else following.type
    if (stem, next_type) in model.collocations:
        return False
    initial = _INITIAL.fullmatch(token.text) is not None
    starts = _starts_sentence(following, next_type, model)
    dots = _ELLIPSIS.fullmatch(token.text) is not None
    abbreviated = token.text != "." and not dots and not final and not token.text.endswith("..")
    if (abbreviated or dots) and not initial:
        if starts is True:
            return True
        if following.text[0].isupper() and next_type in model.starters:
            return True
    if initial or stem == _NUMBER_TYPE:
        if starts is False:
            return False
        never_lower = not model.orthography.get(next_type, 0) & _LOWER_ANYWHERE
        if starts is None and initial and following.text[0].isupper() and never_lower:
            return False
    return final


def _starts_sentence(token: _Token, token_type: str, model: PunktModel) -> bool | None:
    """Orthographic heuristic (4.1.1): whether the word's case tells that a sentence starts; None if unsure."""
    if token.text in (";", ":", ",", ".", "!", "?"):
        return False
    seen = model.orthography.get(token_type, 0)
    if token.text[0].isupper() and seen & _LOWER_ANYWHERE and not seen & _UPPER_INSIDE:
        return True
    if token.text[0].islower() and (seen & _UPPER_ANYWHERE or not seen & _LOWER_AT_START):
        return False
    return None
