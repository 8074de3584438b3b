"""langdetect's language profiles, looked up for the n-grams that texts really hold."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_FEW = 500
_FIRST_ROWS = 1024


@dataclass(frozen=True)
class Profile:
    """How often each n-gram occurs in a language, and how many n-grams of each length were counted."""

    code: str
    counts: dict[str, int]
    totals: tuple[int, ...]


@functools.cache
def profile_codes() -> tuple[str, ...]:
    """The languages that have a profile; each lies in a file of its name."""
    folder = files("langdetect") / "profiles"
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_file()))


def load_profiles() -> tuple[Profile, ...]:
    """The profiles that langdetect ships, in the order of their names on every machine."""
    folder = files("langdetect") / "profiles"
    entries = sorted((entry for entry in folder.iterdir() if entry.is_file()), key=lambda entry: entry.name)
    read = (json.loads(entry.read_text(encoding="utf-8")) for entry in entries)
    return tuple(Profile(raw["name"], raw["freq"], tuple(raw["n_words"])) for raw in read)


class NgramTable:
    """Relative frequencies by n-gram and language; a row is worked out when it is first asked for.

    Attributes:
        codes: The language of each column.
        known: Every n-gram that some language knows.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.codes = [profile.code for profile in profiles]
        self.known = frozenset[str]().union(*(profile.counts for profile in profiles))
        self._profiles = profiles
        self._latin: dict[str, tuple[str, ...]] = {}
        self._numbers: dict[str, int] = {}
        self._rows = np.zeros((_FIRST_ROWS, len(profiles)))

    def rows(self, ngrams: Sequence[str]) -> NDArray[np.float64]:
        """The relative frequency of each n-gram in each language, shape (n-grams, languages)."""
        numbers = self._numbers
        try:
            wanted = [numbers[ngram] for ngram in ngrams]
        except KeyError:  # rare once a few texts have been seen, so not looked for beforehand
            self._add(set(ngrams).difference(numbers))
            wanted = [numbers[ngram] for ngram in ngrams]
        return np.asarray(self._rows[np.array(wanted, dtype=np.intp)])

    def is_outdone(self, code: str, text: str) -> bool:
        """Whether a language cannot be the answer for a normalised text in plain Latin letters, at a glance.

        That is so where one other language is likelier for every n-gram of the text that this one knows: whatever
        langdetect draws, this language's product stays the smaller one; and where it draws only n-grams that
        neither knows, a third language that knows them is ahead. Only looked into for the profiles with few Latin
        n-grams, those of languages in another script.
        """
        candidates = self._latin_ngrams(code)
        if len(candidates) > _FEW:
            return False
        own = self.codes.index(code)
        rows = self.rows([ngram for ngram in candidates if ngram in text])
        return bool(np.any(np.all(rows > rows[:, own : own + 1], axis=0)))

    def _latin_ngrams(self, code: str) -> tuple[str, ...]:
        if code not in self._latin:
            counts = self._profiles[self.codes.index(code)].counts
            self._latin[code] = tuple(ngram for ngram in counts if ngram.isascii())
        return self._latin[code]

    def _add(self, ngrams: set[str]) -> None:
        rows = {ngram: [0.0] * len(self.codes) for ngram in ngrams}
        for column, profile in enumerate(self._profiles):
            counts, totals = profile.counts, profile.totals
            for ngram in counts.keys() & ngrams:
                rows[ngram][column] = counts[ngram] / totals[len(ngram) - 1]
        start = len(self._numbers)
        while start + len(ngrams) > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[start : start + len(ngrams)] = list(rows.values())
        self._numbers.update(zip(rows, range(start, start + len(ngrams)), strict=True))
