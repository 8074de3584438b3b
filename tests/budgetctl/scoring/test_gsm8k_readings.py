import json
import random
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from gsm8k_oracle import Gsm8kOracle

from budgetctl.scoring.gsm8k import (
    Gsm8kVerdict,
    read_answer,
    read_reference,
    score_answer,
    summarise,
)

ANSWERS = 20_000

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


@pytest.fixture(scope="module")
def references(shared_data: Path) -> list[str]:
    lines = (shared_data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["answer"] for line in lines]


def test_every_reference_is_read_as_itself(references: list[str]) -> None:
    for reference in references:
        written = reference.rsplit("#### ", 1)[1].replace(",", "")
        assert read_reference(reference) == Fraction(written)
        assert score_answer(reference, reference) == Gsm8kVerdict(True, True, False)


def _plain(number: str, source: random.Random) -> str:
    grouped = f"{int(number):,}" if re.fullmatch(r"-?\d+", number) and source.random() < 0.5 else number
    lead = source.choice(["The answer is ", "So she has ", "Total: ", "= ", "Therefore, "])
    unit = source.choice(
        ["", ".", " eggs", " dollars.", "%", "\n", " km/h", "!", ")", " (in total)", "**", "}", ","]
    )
    currency = "$" if source.random() < 0.3 and not number.startswith("-") else ""
    mark = source.choice(["", "\n#### " + grouped, "\n#### " + number + "."])
    return f"First 3 + 4 = 7. {lead}{currency}{grouped}{unit}{mark}"


def _unusual(number: str, source: random.Random) -> str:
    value = number.replace(",", "")
    forms = [
        f"#### ${value}", f"####{value}", f"####  {value}.00", f"#### **{value}**", f"{value}.0", f"0{value}",
        f"{value}...", f"{value}. And so on ...", f"20-{value}", f"about 2–{value}", f"−{value}", f"-€{value}",
        f"{value}/1", f"{value}/{value}", f"{value} 1/2", rf"\frac{{{value}}}{{1}}", f"1,2,{value}", f"{value},5",
        f"12\u00a0{value}", f"\\${value[:-3]}{{,}}{value[-3:]}", f".{value}", f"(2)-{value}", f"+{value}",
        f"#### Step 1\n{value}", f"$ {value}", f"{value}$", f"${value}.", f"USD{value}", f"{value}e3", f"€{value}",
    ]  # fmt: skip
    return source.choice(["", "I think ", "x = 5, y = "]) + source.choice(forms)


def _soup(number: str, source: random.Random) -> str:
    pieces = [
        *"0123456789.,$-–−€/ %*#\n()",
        "#### ",
        "####",
        number,
        " is ",
        "\\frac{1}{2}",
        "\u00a0",
        "{,}",
        "...",
    ]
    return "".join(source.choices(pieces, k=source.randint(1, 25)))


def _equal_as_numbers(answer: str, ours: Fraction | None, theirs: str) -> bool:
    return re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", theirs) is not None and ours == Fraction(theirs.rstrip("."))


def _has(pattern: str) -> Callable[[str, Fraction | None, str], bool]:
    found = re.compile(pattern)
    return lambda answer, ours, theirs: found.search(answer) is not None


# Why a verdict may differ, in the order of `docs/decisions/0203-gsm8k-readings.md`.
REASONS: dict[str, Callable[[str, Fraction | None, str], bool]] = {
    "equal as numbers": _equal_as_numbers,
    "no number in what lm-eval extracts": lambda answer, ours, theirs: (
        re.fullmatch(r"\[invalid\]|-?(\d[\d]*)?(\.[\d.]*)?-?\$*", theirs) is not None
        and not re.fullmatch(r"-?\d+(\.\d+)?", theirs)
    ),
    "fraction": _has(r"\d/\d|frac\{"),
    "minus between numbers": _has(r"[\w)\]}]\$*-\$*[\d.]"),
    "other minus or currency sign": _has(r"[−–€]"),
    "list of numbers, or a group mark of LaTeX or print": _has(r"\d,\d|\{,\}|\u00a0"),
    "several points or currency signs in one number": _has(r"\d*\.\d*\.\d|\.\.|\$-|[\d.,]\$|\$[.,$]|-[.,$]"),
}


def _explained(answer: str, ours: Fraction | None, theirs: str) -> str | None:
    return next((reason for reason, holds in REASONS.items() if holds(answer, ours, theirs)), None)


def test_both_readings_agree_with_lm_eval_or_differ_for_a_listed_reason(references: list[str]) -> None:
    source = random.Random(0)
    filters = {"strict": Gsm8kOracle("strict-match"), "flexible": Gsm8kOracle("flexible-extract")}
    reasons: Counter[tuple[str, str]] = Counter()
    agreeing = right = 0
    for index in range(ANSWERS):
        reference = references[index % len(references)]
        number = reference.rsplit("#### ", 1)[1]
        make = (_plain, _plain, _unusual, _soup)[index % 4]
        answer = make(number, source)
        reading = read_answer(answer)
        verdict = score_answer(answer, reference)
        for name, oracle in filters.items():
            ours = reading.strict if name == "strict" else reading.flexible
            own_verdict = verdict.strict if name == "strict" else verdict.flexible
            right += own_verdict
            if own_verdict == oracle.is_right(answer, reference):
                agreeing += 1
                continue
            assert make is not _plain, f"{name}: {answer!r} is ordinary, and read as {ours}"
            reason = _explained(answer, ours, oracle.reading(answer))
            assert reason is not None, (
                f"{name}: {answer!r} is read as {ours}, by lm-eval as {oracle.reading(answer)!r}"
            )
            reasons[name, reason] += 1
    print(f"{2 * ANSWERS} verdicts, {agreeing} equal, {right} right; differences: {dict(reasons)}")
    assert agreeing + sum(reasons.values()) == 2 * ANSWERS
    assert agreeing >= 0.85 * 2 * ANSWERS
    assert right > ANSWERS / 2


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
