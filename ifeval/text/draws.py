"""The numbers that Python's `random.Random(seed)` would draw, many at a time.

langdetect draws n-grams one by one with `random.choice`; that alone would take a third of the time of a detection.
The generator (Mersenne Twister) hands out 32-bit words; `choice` keeps the top bits of a word and takes the next
word while they are out of range, and `gauss` makes two normal numbers of four words (CPython, `Lib/random.py`).
Compared with `random.Random` itself in `tests/ifeval`.
"""

import math
import random

import numpy as np
from numpy.typing import NDArray

_WORD_BITS = 32
_FIRST_WORDS = 1 << 13


class WordStream:
    """The words of one seed, kept for all texts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._words = self._make(_FIRST_WORDS)

    def words(self, start: int, count: int) -> NDArray[np.uint32]:
        """`count` words from position `start`."""
        while start + count > len(self._words):
            self._words = self._make(2 * len(self._words))
        return self._words[start : start + count]

    def _make(self, count: int) -> NDArray[np.uint32]:
        bits = random.Random(self._seed).getrandbits(_WORD_BITS * count)
        return np.frombuffer(bits.to_bytes(4 * count, "little"), dtype="<u4")


class Draws:
    """A position in a stream of words, and the second number of a pair of normal ones."""

    def __init__(self, stream: WordStream) -> None:
        self._stream = stream
        self._at = 0
        self._second: float | None = None

    def gauss(self) -> float:
        """What `random.gauss(0.0, 1.0)` would return."""
        if self._second is not None:
            value, self._second = self._second, None
            return value
        angle = self._uniform() * 2.0 * math.pi
        radius = math.sqrt(-2.0 * math.log(1.0 - self._uniform()))
        self._second = math.sin(angle) * radius
        return math.cos(angle) * radius

    def look_ahead(self, count: int, below: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next `count` numbers that `random.randrange(below)` would return, and where each leaves the stream."""
        bits = below.bit_length()
        found, ends = np.empty(0, np.int64), np.empty(0, np.int64)
        at = self._at
        while len(found) < count:
            values = (self._stream.words(at, 2 * count) >> np.uint32(_WORD_BITS - bits)).astype(np.int64)
            good = np.flatnonzero(values < below)
            found = np.concatenate([found, values[good]])
            ends = np.concatenate([ends, at + good + 1])
            at += 2 * count
        return found[:count], ends[:count]

    def move_to(self, end: int) -> None:
        """Continue after a word that `look_ahead` named."""
        self._at = end

    def _uniform(self) -> float:
        """53 bits of two words, as `random.random()` makes them."""
        first, second = self._stream.words(self._at, 2).tolist()
        self._at += 2
        return float((first >> 5) * 67108864 + (second >> 6)) / 9007199254740992.0
