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
    def of(cls, word: str, as_pattern: bool = False) -> "Occurrences":
        """Look for a word literally or, with `as_pattern`, for what it means as a regular expression."""
        escaped = re.escape(word)
        literal = word.isascii() and (
            not as_pattern or escaped.replace("\\ ", " ").replace("\\-", "-") == word
        )
        pattern = word if as_pattern else escaped
        return cls(re.compile(pattern, re.IGNORECASE), word.lower() if literal else None)

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
