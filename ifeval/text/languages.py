"""The language of a text: langdetect's profiles and algorithm, seeded, with a loop of our own.

langdetect (Nakatani Shuyo's language-detection) samples the n-grams of a text at random until one language is
all but certain, seven times over, and averages. Its Python port spends milliseconds a text on rebuilding the
n-grams character by character and on drawing all seven samples also when four have settled the matter. Here the
n-grams of a word are kept, profiles are looked up for the n-grams that occur, and sampling ends once no other
language can win; the order of the draws is the same, so the answers are too (compared in `tests/ifeval`).
"""

import functools
import re

import numpy as np
from langdetect.detector import Detector
from langdetect.utils.ngram import NGram
from numpy.typing import NDArray

from ifeval.text.draws import Draws, WordStream
from ifeval.text.language_profiles import NgramTable, load_profiles

DEFAULT_SEED = 0

_LATIN_LETTERS = re.compile("[A-z]+")  # as langdetect has it: the six signs between Z and a are included
# langdetect means to leave out Vietnamese letters (Latin Extended Additional) too, but compares a block's number
# with its name, so that they do count as another script; its profiles were built and are used with that.
_FIRST_OTHER_SCRIPT = "\u0300"
_TRIALS = 7
_LONGEST = 10_000
_DRAWS_BETWEEN_CHECKS = 5
_REMEMBERED_WORDS = 1 << 16
# Draws at a time, each a multiple of those between checks: a language with a script of its own is certain after a few
# draws, most of the others after a hundred; 1001 in all, the last of them for the check at langdetect's limit.
_BATCHES = (30, *[100] * 9, 70, 1)


class LanguageDetector:
    """Names the language of texts; the profiles are read when the first text comes.

    Args:
        seed: Seed of the sampling. It starts afresh with each text, so that an answer depends on its text alone.
    """

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self.seed = seed
        self._stream = WordStream(seed)
        self._in_word: dict[str, tuple[str, ...]] = {}
        self._normal_forms = _NormalForms()

    def detect(self, text: str) -> str | None:
        """The ISO 639-1 code (`zh-cn`, `zh-tw` for Chinese) of the language.

        None when the text has no letters that any profile knows; `unknown` when no language reaches langdetect's
        threshold of 10 %.
        """
        return self._sampled(self._normalised(text))

    def is_language(self, text: str, code: str) -> bool | None:
        """Whether `detect(text)` is `code`, often without sampling; None when `detect` has nothing to go by."""
        normal = self._normalised(text)
        # Each letter a to z is an n-gram that some profile knows, so there is something to go by.
        plain = normal.isascii() and normal.strip() != ""
        if plain and code in self._table.codes and self._table.is_outdone(code, f" {normal}"):
            return False
        found = self._sampled(normal)
        return None if found is None else found == code

    @functools.cached_property
    def _table(self) -> NgramTable:
        return NgramTable(load_profiles())

    def _sampled(self, normal: str) -> str | None:
        words = normal.split(" ")
        words = [word + " " for word in words[:-1] if word] + words[-1:]
        self._learn(set(words))
        ngrams = [ngram for word in words for ngram in self._in_word[word]]
        if not ngrams:
            return None
        sums = self._settled_sums(ngrams)
        best = int(sums.argmax())
        return self._table.codes[best] if sums[best] > Detector.PROB_THRESHOLD else str(Detector.UNKNOWN_LANG)

    def _settled_sums(self, ngrams: list[str]) -> NDArray[np.float64]:
        """Sum over trials of probability / trials, up to the trial after which the winner cannot change."""
        draws = Draws(self._stream)
        sums = np.zeros(len(self._table.codes))
        for trial in range(_TRIALS):
            sums += self._trial(ngrams, draws) / _TRIALS
            second, first = np.partition(sums, -2)[-2:]
            open_share = (_TRIALS - 1 - trial) / _TRIALS
            if first > Detector.PROB_THRESHOLD and first - second > open_share:
                break
        return sums

    def _trial(self, ngrams: list[str], draws: Draws) -> NDArray[np.float64]:
        """Multiply up the likelihoods of n-grams drawn at random until one language is all but certain.

        Certainty is looked for after the first draw and every fifth from there.
        """
        smoothing = Detector.ALPHA_DEFAULT + draws.gauss() * Detector.ALPHA_WIDTH
        weight = smoothing / Detector.BASE_FREQ
        shares = np.ones((1, len(self._table.codes)))
        for size in _BATCHES:
            drawn, ends = draws.look_ahead(size, len(ngrams))
            factors = self._table.rows([ngrams[index] for index in drawn.tolist()]) + weight
            factors[0] *= shares[0]
            # What each check adds: the first draw, then five by five; after the last check four are left over.
            checks = (size - 1) // _DRAWS_BETWEEN_CHECKS
            between = factors[1 : 1 + checks * _DRAWS_BETWEEN_CHECKS]
            fives = between.reshape(checks, _DRAWS_BETWEEN_CHECKS, shares.size).prod(axis=1)
            steps = np.concatenate([factors[:1], fives])
            steps /= steps.max(axis=1, keepdims=True)  # keeps long products in range, changes no ratio
            checked = np.multiply.accumulate(steps, axis=0)
            checked /= checked.sum(axis=1, keepdims=True)
            certain = np.flatnonzero(checked.max(axis=1) > Detector.CONV_THRESHOLD)
            if certain.size:
                draws.move_to(int(ends[certain[0] * _DRAWS_BETWEEN_CHECKS]))
                return np.asarray(checked[certain[0]])
            draws.move_to(int(ends[-1]))
            left = factors[1 + checks * _DRAWS_BETWEEN_CHECKS :].prod(axis=0, keepdims=True)
            shares = checked[-1:] * left / (checked[-1:] * left).max()
        return np.asarray(checked[-1])

    def _normalised(self, text: str) -> str:
        """Words and the spaces between them; white space, digits and punctuation are spaces."""
        return _letters(text).translate(self._normal_forms)

    def _learn(self, words: set[str]) -> None:
        """Work out the n-grams of words that did not occur before."""
        if len(self._in_word) > _REMEMBERED_WORDS:
            self._in_word.clear()
        known = self._table.known
        for word in words.difference(self._in_word):
            self._in_word[word] = tuple([ngram for ngram in _ngrams(word) if ngram in known])


class _NormalForms(dict[int, str]):
    """langdetect's normal form of each character, worked out when it first occurs."""

    def __missing__(self, code: int) -> str:
        form: str = NGram.normalize(chr(code))
        self[code] = form
        return form


def _letters(text: str) -> str:
    """The text without addresses, cut to langdetect's length, without Latin words in a text of another script."""
    plain = text
    if "http" in text:
        plain = Detector.URL_RE.sub(" ", plain)
    if "@" in text:
        plain = Detector.MAIL_RE.sub(" ", plain)
    if plain.isascii():
        return plain[:_LONGEST]
    plain = NGram.normalize_vi(plain)[:_LONGEST]
    latin = sum(map(len, _LATIN_LETTERS.findall(plain)))
    other = sum(character >= _FIRST_OTHER_SCRIPT for character in plain)
    return _LATIN_LETTERS.sub("", plain) if latin * 2 < other else plain


def _ngrams(word: str) -> list[str]:
    """One to three characters ending at each character; none inside a run of capitals.

    The space before a word belongs to its n-grams, the space after it only where there is one.
    """
    padded = " " + word
    ngrams = []
    in_capitals = False
    for at, character in enumerate(word, start=1):
        in_capitals = character.isupper() and (in_capitals or padded[at - 1].isupper())
        if in_capitals:
            continue
        if character != " ":
            ngrams.append(character)
        ngrams.append(padded[at - 1 : at + 1])
        if at > 1:
            ngrams.append(padded[at - 2 : at + 1])
    return ngrams
