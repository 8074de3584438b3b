"""langdetect's language profiles, looked up for the n-grams that texts really hold."""

import json
import string
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_MOST_WORTH_A_LOOK = 200
_FIRST_ROWS = 1024
_LETTERS = frozenset(string.ascii_lowercase)


@dataclass(frozen=True)
class Profile:
    """How often each n-gram occurs in a language, and how many n-grams of each length were counted."""

    code: str
    counts: dict[str, int]
    totals: tuple[int, ...]


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
        # As sets: a set meets a dict's keys by walking through all of them, another set by walking the smaller.
        self._vocabularies = [frozenset(profile.counts) for profile in profiles]
        self._profiles = profiles
        self._numbers: dict[str, int] = {}
        self._rows = np.zeros((_FIRST_ROWS, len(profiles)))

    def rows(self, ngrams: Sequence[str]) -> NDArray[np.float64]:
        """The relative frequency of each n-gram in each language, shape (n-grams, languages)."""
        self._add(set(ngrams).difference(self._numbers))
        numbers = self._numbers
        return np.asarray(self._rows[[numbers[ngram] for ngram in ngrams]])

    def is_foreign_to_latin(self, code: str) -> bool:
        """Whether a profile exists and knows few of the letters a to z: most texts then rule its language out."""
        known = self._vocabularies[self.codes.index(code)] if code in self.codes else _LETTERS
        return len(known & _LETTERS) < len(_LETTERS) // 2

    def shared(self, code: str, ngrams: Set[str]) -> list[str]:
        """Which of the n-grams a language knows."""
        return list(self._vocabularies[self.codes.index(code)] & ngrams)

    def outdoing(self, code: str, ngrams: Sequence[str], among: Iterable[int]) -> list[int]:
        """Which columns of `among` are likelier than this language for each of the n-grams.

        None where there are so many n-grams that nothing outdoes a language in all: that is not worth a look.
        """
        if len(ngrams) > _MOST_WORTH_A_LOOK:
            return []
        own = self.codes.index(code)
        rows = self.rows(ngrams)
        ahead = np.all(rows > rows[:, own : own + 1], axis=0)
        return [column for column in among if ahead[column]]

    def _add(self, ngrams: set[str]) -> None:
        if not ngrams:
            return
        rows = {ngram: [0.0] * len(self.codes) for ngram in ngrams}
        for column, (profile, vocabulary) in enumerate(zip(self._profiles, self._vocabularies, strict=True)):
            for ngram in vocabulary & ngrams:
                rows[ngram][column] = profile.counts[ngram] / profile.totals[len(ngram) - 1]
        start = len(self._numbers)
        while start + len(ngrams) > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[start : start + len(ngrams)] = list(rows.values())
        self._numbers.update(zip(rows, range(start, start + len(ngrams)), strict=True))
