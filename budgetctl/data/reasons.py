"""Why rows are left out, in the words of cards and messages."""

from __future__ import annotations

from collections import Counter

LeftOut = Counter[str]
"""Reason → rows."""

EMPTY = "rows with an empty text"
EQUAL = "pairs whose answers are equal"
HELD_OUT = "rows with a prompt of dev or test"
IN_TEST = "rows with a prompt of test"
NO_ANSWERS = "rows with an empty list of answers"
NOTHING_TO_CORRUPT = "questions with no calculation to corrupt"
REPEATED = "repeated rows"
REPEATED_PROMPTS = "repeated prompts"
SET_ASIDE = "rows set aside for dev or test"
