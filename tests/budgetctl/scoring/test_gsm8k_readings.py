from fractions import Fraction

import pytest
from gsm8k_oracle import Gsm8kOracle

from budgetctl.scoring.gsm8k import (
    Gsm8kVerdict,
    read_answer,
    read_reference,
    score_answer,
    summarise,
)

# Flexible reading of each text: ours, and what lm-eval compares.
DELIBERATE = [
    ("It costs 18.00", "18", "18.00"),
    ("so 018", "18", "018"),
    ("I get 18...", "18", "18.."),
    ("It is 18. Well ...", "18", ".."),
    ("The sum is 30-18", "18", "-18"),
    ("pages 3–18", "18", "18"),
    ("a loss of −18", "-18", "18"),
    ("minus -€18", "-18", "18"),
    ("half: 36/2", "18", "2"),
    ("1 1/2 cups", "3/2", "2"),
    (r"\frac{1}{2}", "1/2", "2"),
    ("counts: 3,4,18", "18", "3418"),
    ("12\u00a0345 people", "12345", "345"),
    (r"\$1{,}080", "1080", "080"),
    ("it is .5", "1/2", ".5"),
]


@pytest.mark.parametrize(("text", "ours", "theirs"), DELIBERATE)
def test_deliberate_differences_from_lm_eval(text: str, ours: str, theirs: str) -> None:
    assert read_answer(text).flexible == Fraction(ours)
    assert Gsm8kOracle("flexible-extract").reading(text) == theirs


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        ("#### 18", 18, "18"),
        ("####18", 18, "[invalid]"),
        ("####  18", 18, "[invalid]"),
        ("#### $18", 18, "[invalid]"),
        ("#### **18**", 18, "[invalid]"),
        ("#### 18.", 18, "18"),
        ("#### 1,080 eggs", 1080, "1080"),
        ("#### Answer: 18", None, "[invalid]"),
        ("#### Step 1: add\n#### -3", -3, "-3"),
        ("18\n#### ", None, "[invalid]"),
        ("#### 5\nQuestion: x #### 7", 5, "5"),
        ("### 18", None, "[invalid]"),
        ("", None, "[invalid]"),
    ],
)
def test_strict_reading(text: str, ours: int | None, theirs: str) -> None:
    assert read_answer(text).strict == ours
    assert Gsm8kOracle("strict-match").reading(text) == theirs


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50%", "50"),
        ("-$5", "-5"),
        ("$-5.25!", "-5.25"),
        (r"\boxed{18}", "18"),
        ("**18**", "18"),
        ("10km", "10"),
        ("1/2/2024", "2024"),
        ("5/0", "0"),
        ("1,00,000 rupees", "100000"),
        ("x2", "2"),
        ("3 - 5", "5"),
        ("+7", "7"),
        ("1.2.3", "3"),
        ("-1 1/2", "-1.5"),
        (r"-\frac{1}{4}", "-0.25"),
    ],
)
def test_what_the_docstring_says_about_numbers(text: str, number: str) -> None:
    assert read_answer(text).flexible == Fraction(number)


def test_text_without_a_readable_number() -> None:
    assert read_answer("no idea").flexible is None
    assert read_answer("9" * 5000).flexible is None  # degenerate repetition must not break the run
    with pytest.raises(ValueError, match="must hold a number"):
        read_reference("none")


def test_every_reference_is_read_as_itself(gsm8k_references: list[str]) -> None:
    for reference in gsm8k_references:
        written = reference.rsplit("#### ", 1)[1].replace(",", "")
        assert read_reference(reference) == Fraction(written)
        assert score_answer(reference, reference) == Gsm8kVerdict(True, True, False)


def test_summary_counts_truncated_answers_and_scores_them() -> None:
    verdicts = [
        score_answer("#### 18", "so #### 18"),
        score_answer("the total is 18 and then", "#### 18", truncated=True),
        score_answer("", "18", truncated=True),
        score_answer("17", "18"),
    ]
    summary = summarise(verdicts)
    assert (summary.n, summary.truncated, summary.strict, summary.flexible) == (4, 2, 0.25, 0.5)
    assert summary.flexible in summary.flexible_interval
    assert summary.strict_interval.low < 0.25 < summary.strict_interval.high
    with pytest.raises(ValueError, match="at least one trial"):
        summarise([])
