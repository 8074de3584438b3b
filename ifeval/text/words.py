"""Words as runs of word characters."""

import re

import regex

_ASCII_WORD = re.compile(r"\w+")
# Unicode's definition of a word character (UTS #18, annex C) holds combining vowel signs, which Python's own
# `re` does not: with `re` most Hindi or Thai words would fall apart. NLTK 3.10, lm-eval's tokeniser, agrees.
_UNICODE_WORD = regex.compile(r"\w+")


def count_words(text: str) -> int:
    r"""How many maximal runs of letters, digits, marks and underscores `text` has.

    "don't" counts as two words and "well-known" too, as in IFEval's own code (NLTK's `RegexpTokenizer` with
    the pattern `\w+`).
    """
    return len(_ASCII_WORD.findall(text) if text.isascii() else _UNICODE_WORD.findall(text))
