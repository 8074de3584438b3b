"""Finding a given word in texts, in any case."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Occurrences:
    """A word to look for.

    Attributes:
        pattern: Matches it, ignoring case.
        plain: The word in small letters where it is plain ASCII: in an ASCII text it is then looked for as it is,
            which finds the same many times faster.
    """

    pattern: re.Pattern[str]
    plain: str | None

    @classmethod
    def of(cls, word: str, pattern: re.Pattern[str] | None = None) -> "Occurrences":
        """Look for a word literally, or for what a pattern made of it finds."""
        literal = pattern is None or re.escape(word).replace("\\ ", " ").replace("\\-", "-") == word
        plain = word.lower() if literal and word.isascii() else None
        return cls(pattern or re.compile(re.escape(word), re.IGNORECASE), plain)

    def count(self, text: str) -> int:
        """How often it occurs, without overlaps, also inside longer words."""
        if self.plain is not None and text.isascii():
            return text.lower().count(self.plain)
        return sum(1 for _ in self.pattern.finditer(text))

    def occurs(self, text: str) -> bool:
        """Whether it occurs, also inside a longer word."""
        if self.plain is not None and text.isascii():
            return self.plain in text.lower()
        return self.pattern.search(text) is not None
