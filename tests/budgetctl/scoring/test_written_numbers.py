"""The reader of numbers against the regular expressions that say the same, and its time on degenerate answers."""

import random
import time

import pytest
from gsm8k_regex import read_by_regex
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.scoring.gsm8k import read_answer

PIECES = [
    *"0123456789.,$-–−+€\\/ %*#\n(){}[]_xa٣", "#### ", "####", "00", "123", "12,", ",123", "{,}", "\u00a0", "\u2009",
    "\\frac{", "}{", "\\dfrac{1}{2}", "1 ", "1/2", "\\$",
]  # fmt: skip
DEGENERATE = [
    "#", "#### ", "####$", "####a", "#### .", "$", "\\$", "-", "$-", "0", "1.", "1/", "1 1/", "1 0/0", "1 2/3/", "11,",
    "11,1,", "1,23", "1{,}", "12\u00a0", "\\frac{1", "\\frac{1}{",
]  # fmt: skip
LENGTH = 60_000


@given(st.lists(st.sampled_from(PIECES), max_size=18).map("".join))
def test_it_reads_what_the_regular_expressions_read(text: str) -> None:
    assert read_answer(text) == read_by_regex(text)


def test_it_reads_what_the_regular_expressions_read_in_many_random_texts() -> None:
    source = random.Random(0)
    for _ in range(20_000):
        text = "".join(source.choices(PIECES, k=source.randint(1, 16)))
        assert read_answer(text) == read_by_regex(text), repr(text)


@pytest.mark.parametrize("digits", [60, 61])
def test_numbers_of_more_than_60_digits_are_not_read(digits: int) -> None:
    for text in ("#### " + "7" * digits, "#### 1/" + "7" * digits, "#### ." + "7" * (digits - 1)):
        assert read_answer(text) == read_by_regex(text)
        assert (read_answer(text).strict is None) == (digits > 60)


@pytest.mark.parametrize("unit", DEGENERATE, ids=repr)
def test_time_is_linear_in_degenerate_answers(unit: str) -> None:
    """Seconds where the regular expressions take minutes to days."""
    start = time.process_time()
    read_answer(unit * (LENGTH // len(unit)))
    assert time.process_time() - start < 4.0
