"""The language of a text: langdetect's profiles and algorithm, seeded, with a loop of our own.

langdetect (Nakatani Shuyo's language-detection) samples the n-grams of a text at random until one language is
all but certain, seven times over, and averages. Its Python port spends milliseconds a text on rebuilding the
n-grams character by character and on drawing all seven samples also when four have settled the matter. Here the
n-grams of a word are kept, profiles are looked up for the n-grams that occur, and sampling ends once no other
language can win; the order of the draws is the same, so the answers are too (compared in `tests/ifeval`).
"""

import functools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from langdetect.detector import Detector
from langdetect.utils.ngram import NGram

DEFAULT_SEED = 0

_LATIN_LETTERS = re.compile("[A-z]+")  # as langdetect has it: the six signs between Z and a are included
# langdetect means to leave out Vietnamese letters (Latin Extended Additional) too, but compares a block's number
# with its name, so that they do count as another script; its profiles were built and are used with that.
_FIRST_OTHER_SCRIPT = "\u0300"
_TRIALS = 7
_LONGEST = 10_000
_DRAWS_BETWEEN_CHECKS = 5
_REMEMBERED_WORDS = 1 << 16
_REMEMBERED_TEXTS = 1 << 12

Row = tuple[float, ...]


@dataclass(frozen=True)
class Profile:
    """How often each n-gram occurs in a language, and how many n-grams of each length were counted."""

    language: str
    counts: dict[str, int]
    totals: tuple[int, ...]


def load_profiles() -> tuple[Profile, ...]:
    """The profiles that langdetect ships, in the order of their names on every machine."""
    folder = files("langdetect") / "profiles"
    entries = sorted((entry for entry in folder.iterdir() if entry.is_file()), key=lambda entry: entry.name)
    read = (json.loads(entry.read_text(encoding="utf-8")) for entry in entries)
    return tuple(Profile(raw["name"], raw["freq"], tuple(raw["n_words"])) for raw in read)


class LanguageDetector:
    """Names the language of texts; the profiles are read when the first text comes.

    Args:
        seed: Seed of the sampling. It starts afresh with each text, so that an answer depends on its text alone.
    """

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self.seed = seed
        self._in_word = functools.lru_cache(maxsize=_REMEMBERED_WORDS)(self._ngrams_of_word)
        self._in_text = functools.lru_cache(maxsize=_REMEMBERED_TEXTS)(self._detect)
        self._normal_forms = _NormalForms()
        self._rows: list[Row] = []
        self._numbers: dict[str, int | None] = {}

    def detect(self, text: str) -> str | None:
        """The ISO 639-1 code (`zh-cn`, `zh-tw` for Chinese) of the language.

        None when the text has no letters that any profile knows; `unknown` when no language reaches langdetect's
        threshold of 10 %.
        """
        return self._in_text(text)

    def is_language(self, text: str, code: str) -> bool | None:
        """Whether `detect(text)` is `code`, often without sampling; None when `detect` has nothing to go by."""
        words = self._words(text)
        occurring = set(self._in_word(words[-1], False)).union(
            *(self._in_word(word, True) for word in set(words[:-1]))
        )
        if not occurring:
            return None
        if code in self._codes and self._outdone(occurring, self._codes.index(code)):
            return False
        return self.detect(text) == code

    @functools.cached_property
    def _profiles(self) -> tuple[Profile, ...]:
        return load_profiles()

    @functools.cached_property
    def _codes(self) -> list[str]:
        return [profile.language for profile in self._profiles]

    def _outdone(self, occurring: set[int], column: int) -> bool:
        """Whether one other language is likelier for every n-gram that this one knows in the text.

        Whatever is drawn then, that language's product stays at least as large; and where only n-grams are
        drawn that neither knows, a third language that knows them is ahead. So this one cannot be the answer.
        """
        known = [row for row in map(self._rows.__getitem__, occurring) if row[column]]
        return any(
            all(row[other] > row[column] for row in known)
            for other in range(len(self._profiles))
            if other != column
        )

    def _detect(self, text: str) -> str | None:
        words = self._words(text)
        numbers: list[int] = []
        for word in words[:-1]:
            numbers.extend(self._in_word(word, True))
        numbers.extend(self._in_word(words[-1], False))
        if not numbers:
            return None
        sums = self._settled_sums(numbers)
        best = max(range(len(sums)), key=sums.__getitem__)
        return self._codes[best] if sums[best] > Detector.PROB_THRESHOLD else str(Detector.UNKNOWN_LANG)

    def _settled_sums(self, ngrams: list[int]) -> list[float]:
        """Sum over trials of probability / trials, up to the trial after which the winner cannot change."""
        source = random.Random(self.seed)
        sums = [0.0] * len(self._profiles)
        for trial in range(_TRIALS):
            shares = self._trial(ngrams, source)
            sums = [total + share / _TRIALS for total, share in zip(sums, shares, strict=True)]
            second, first = sorted(sums)[-2:]
            open_share = (_TRIALS - 1 - trial) / _TRIALS
            if first > Detector.PROB_THRESHOLD and first - second > open_share:
                break
        return sums

    def _trial(self, ngrams: list[int], source: random.Random) -> list[float]:
        """Multiply up the likelihoods of n-grams drawn at random until one language is all but certain."""
        smoothing = Detector.ALPHA_DEFAULT + source.gauss(0.0, 1.0) * Detector.ALPHA_WIDTH
        weight = smoothing / Detector.BASE_FREQ
        rows, choose = self._rows, source.choice
        start = 1.0 / len(self._profiles)
        shares = _normalised([start * (weight + count) for count in rows[choose(ngrams)]])
        drawn = 0
        while max(shares) <= Detector.CONV_THRESHOLD and drawn < Detector.ITERATION_LIMIT:
            five = [rows[choose(ngrams)] for _ in range(_DRAWS_BETWEEN_CHECKS)]
            drawn += _DRAWS_BETWEEN_CHECKS
            shares = _normalised(
                [
                    p * (weight + a) * (weight + b) * (weight + c) * (weight + d) * (weight + e)
                    for p, a, b, c, d, e in zip(shares, *five, strict=True)
                ]
            )
        return shares

    def _words(self, text: str) -> list[str]:
        """Normalised text between white space, digits and punctuation; the last one ends with the text."""
        return _letters(text).translate(self._normal_forms).split(" ")

    def _ngrams_of_word(self, word: str, spaced: bool) -> tuple[int, ...]:
        found = map(self._number, _ngrams(word, spaced))
        return tuple(number for number in found if number is not None)

    def _number(self, ngram: str) -> int | None:
        """The row of an n-gram's relative frequencies in all languages; None for one that no profile knows."""
        if ngram not in self._numbers:
            last = len(ngram) - 1
            row = tuple(profile.counts.get(ngram, 0) / profile.totals[last] for profile in self._profiles)
            self._numbers[ngram] = len(self._rows) if any(row) else None
            if any(row):
                self._rows.append(row)
        return self._numbers[ngram]


class _NormalForms(dict[int, str]):
    """langdetect's normal form of each character, worked out when it first occurs."""

    def __missing__(self, code: int) -> str:
        form: str = NGram.normalize(chr(code))
        self[code] = form
        return form


def _letters(text: str) -> str:
    """The text without addresses, cut to langdetect's length, without Latin words in a text of another script."""
    plain: str = Detector.MAIL_RE.sub(" ", Detector.URL_RE.sub(" ", text))
    if plain.isascii():
        return plain[:_LONGEST]
    plain = NGram.normalize_vi(plain)[:_LONGEST]
    latin = sum(map(len, _LATIN_LETTERS.findall(plain)))
    other = sum(character >= _FIRST_OTHER_SCRIPT for character in plain)
    return _LATIN_LETTERS.sub("", plain) if latin * 2 < other else plain


def _ngrams(word: str, spaced: bool) -> Iterator[str]:
    """One to three characters ending at each character; none inside a run of capitals.

    The space before a word belongs to its n-grams, the space after it only where there is one.
    """
    if not word:
        return
    buffer = " "
    in_capitals = False
    for character in word + " " if spaced else word:
        in_capitals = character.isupper() and (in_capitals or buffer[-1].isupper())
        buffer = buffer[-2:] + character
        if in_capitals:
            continue
        for length in range(1, len(buffer) + 1):
            ngram = buffer[-length:]
            if ngram != " ":
                yield ngram


def _normalised(shares: list[float]) -> list[float]:
    total = sum(shares)
    return [share / total for share in shares]
