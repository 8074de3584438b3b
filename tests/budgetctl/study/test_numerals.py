"""Numbers in tables and names: every digit, and never two alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.study.cells import Cell
from budgetctl.study.numerals import in_full, short

numbers = st.floats(min_value=1e-9, max_value=1e18) | st.integers(1, 10**18).map(float)


@pytest.mark.parametrize(
    ("value", "full", "grouped"),
    [
        (1234567, "1234567", "1,234,567"),
        (1234567.0, "1234567", "1,234,567"),
        (12345.67, "12345.67", "12,345.67"),
        (20000.0, "20000", "20,000"),
        (0.25, "0.25", "0.25"),
        (1e-7, "0.0000001", "0.0000001"),
        (1e22, "1" + "0" * 22, "10" + ",000" * 7),
        (0, "0", "0"),
        (-3.5, "-3.5", "-3.5"),
    ],
)
def test_all_digits_are_written(value, full, grouped):
    assert (in_full(value), in_full(value, ",")) == (full, grouped)


@given(numbers)
def test_numbers_are_read_back_as_they_were(value):
    assert float(in_full(value)) == float(short(value)) == value


@pytest.mark.parametrize(
    ("budget", "name"),
    [(100.0, "b100"), (20_000.0, "b20000"), (1e6, "b1e+06"), (0.5, "b0.5"), (12345.67, "b12345.67"),
     (12345.68, "b12345.68"), (1234567.0, "b1234567")],
)  # fmt: skip
def test_cell_names_are_short_and_tell_budgets_apart(budget, name):
    assert Cell("tiny", "arith", "dpo", budget, 0.25, 3).name == f"tiny/arith/dpo/{name}/s0.25/seed3"
