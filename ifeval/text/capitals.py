"""Words in capitals, counted as the Penn Treebank tokeniser would split them.

IFEval counts the tokens of NLTK's `word_tokenize` that are upper case. Only pieces that hold a letter can be,
so instead of tokenising a whole text this looks at its white-space separated chunks, throws away those without
a capital, and splits the few others at the places where the Treebank convention separates letters from letters:
punctuation, clitics ("IT'S" is two tokens, "DON'T" is DO and N'T) and a handful of contractions.
"""

import functools
import re

import regex

from ifeval.text.sentences import SentenceSplitter

# Where sentences end matters to the letters only at a period before a colon or an apostrophe, and at one after a
# clitic, which is split off once the sentence's last period is.
_BOUNDARY_MATTERS = re.compile(r"(?i)\.[:']|(?:'(?:[smdt]|ll|re|ve)|wanna)[^\w\s]*\.")
_FINAL_PERIOD = regex.compile(r"""(?<=[^.])\.(?=[\])}>"'»”’ ]*+\s*$)""")
_EDGES = '.,!?:;"*()[]'
_CONTRACTED = frozenset({"cannot", "gimme", "gonna", "gotta", "lemme", "wanna"})

_OPENING_APOSTROPHE = regex.compile(r"(?i)(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)")
_COMMA_OR_COLON = regex.compile(r"[:,]([^\d])")
_SEPARATORS = re.compile(r"[«»“”‘’„`\";@#$%&?!*()\[\]{}<>\u2012-\u2015]+|\.{2,}|--|''|[:,]$")
# A clitic whose word ends in a quote stays with its word, unless a plain space follows the quote.
_QUOTED_CLITIC = re.compile(r"""(?i)(?<=[^'\s])'([smd])'(?=[^\S ]|\s*$|[\])}>*"(\[{<]|--)""")
_CLOSING_APOSTROPHE = re.compile(r"(?<=[^'])'$")
_SHORT_CLITIC = re.compile(r"(?<=[^'])('[sSmMdD])$")
_LONG_CLITIC = re.compile(r"(?<=[^'])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T)$")
_CONTRACTION = re.compile(
    r"(?i)\b(?:(can)(not)|(gim)(me)|(gon)(na)|(got)(ta)|(lem)(me)|(d)('ye)|(more)('n)|(wan)(na)$)(?:\b|$)"
)
_TIS_OR_TWAS = re.compile(r"(?i)(?<= )('t)(?=(?:is|was)\b)")
_REMEMBERED_CHUNKS = 1 << 16


def count_capital_words(text: str, sentences: SentenceSplitter) -> int:
    """How many Treebank tokens of `text` are upper case: at least one cased letter, and none lower case."""
    text = _QUOTED_CLITIC.sub(r"\1'", text)
    if _BOUNDARY_MATTERS.search(text):
        split = (text[start:stop] for start, stop in sentences.spans(text))
        return sum(_count(_FINAL_PERIOD.sub(" ", sentence)) for sentence in split)
    return _count(text)


def _count(text: str) -> int:
    return sum(_capital_tokens(chunk) for chunk in text.split() if not chunk.islower())


@functools.lru_cache(maxsize=_REMEMBERED_CHUNKS)
def _capital_tokens(chunk: str) -> int:
    core = chunk.strip(_EDGES)
    if core.isalpha() and core.isascii():
        if core.lower() not in _CONTRACTED:
            return int(core.isupper())
    elif not any(character.isupper() for character in chunk):
        return 0
    return sum(token.isupper() for piece in _pieces(chunk) for token in _split_piece(piece))


def _pieces(chunk: str) -> list[str]:
    """Split a chunk at punctuation; what is dropped holds no letter."""
    opened = _OPENING_APOSTROPHE.sub("' ", chunk)
    return _SEPARATORS.sub(" ", _COMMA_OR_COLON.sub(r" \1", opened)).split()


def _split_piece(piece: str) -> list[str]:
    """Split clitics off the end, then contractions."""
    word = _CLOSING_APOSTROPHE.sub("", piece)
    tokens = [
        token
        for part in _SHORT_CLITIC.sub(r" \1", word).split()
        for token in _LONG_CLITIC.sub(r" \1", part).split()
    ]
    return [part for token in tokens for part in _expand(token).split()]


def _expand(token: str) -> str:
    expanded = _CONTRACTION.sub(lambda match: " " + " ".join(filter(None, match.groups())) + " ", token)
    return _TIS_OR_TWAS.sub(r"\1 ", expanded)
