"""Both readings of 20,000 answers beside lm-eval's two filters; what differs is written down form by form."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from gsm8k_oracle import Gsm8kOracle
from gsm8k_regex import read_by_regex

from budgetctl.scoring.gsm8k import Gsm8kReading, read_answer, score_answer

ANSWERS = 20_000
INVALID = "[invalid]"


@dataclass(frozen=True)
class Form:
    """A way to write the number n, and what must be read from it.

    Attributes:
        text: With {n}, {head} and {tail} (its last three digits) filled in.
        strict: Our strict reading; None for none.
        flexible: Our flexible one.
        their_strict: What lm-eval's strict filter compares.
        their_flexible: What its flexible filter compares.
        reason: Why verdicts may differ, as in `docs/decisions/0203-gsm8k-readings.md`; empty where they never do.
        digits: The lengths of n that this form is for.
    """

    text: str
    strict: str | None
    flexible: str
    their_strict: str
    their_flexible: str
    reason: str = ""
    digits: tuple[int, ...] = (1, 2, 3, 4, 5, 6)


LESS_STRICT, AS_NUMBERS = "no number in what lm-eval extracts (strict)", "equal as numbers"
NO_NUMBER, FRACTION = "no number in what lm-eval extracts (flexible)", "fraction"
BETWEEN, OTHER_SIGN = "minus between numbers", "other minus or currency sign"
GROUPS = "list of numbers, or a group mark of LaTeX or print"
FORMS = [
    Form("#### ${n}", "{n}", "{n}", INVALID, "{n}", LESS_STRICT),
    Form("####{n}", "{n}", "{n}", INVALID, "{n}", LESS_STRICT),
    Form("####  {n}.00", "{n}", "{n}", INVALID, "{n}.00", LESS_STRICT),
    Form("#### **{n}**", "{n}", "{n}", INVALID, "{n}", LESS_STRICT),
    Form("#### Step 1\n{n}", None, "{n}", INVALID, "{n}"),
    Form("{n}.0", None, "{n}", INVALID, "{n}.0", AS_NUMBERS),
    Form("0{n}", None, "{n}", INVALID, "0{n}", AS_NUMBERS),
    Form(".{n}", None, "0.{n}", INVALID, ".{n}"),
    Form("{n}...", None, "{n}", INVALID, "{n}..", NO_NUMBER),
    Form("{n}. And so on ...", None, "{n}", INVALID, "..", NO_NUMBER),
    Form("20-{n}", None, "{n}", INVALID, "-{n}", BETWEEN),
    Form("(2)-{n}", None, "{n}", INVALID, "-{n}", BETWEEN),
    Form("about 2–{n}", None, "{n}", INVALID, "{n}"),
    Form("−{n}", None, "-{n}", INVALID, "{n}", OTHER_SIGN),
    Form("-€{n}", None, "-{n}", INVALID, "{n}", OTHER_SIGN),
    Form("+{n}", None, "{n}", INVALID, "{n}"),
    Form("{n}/1", None, "{n}", INVALID, "1", FRACTION),
    Form("{n}/{n}", None, "1", INVALID, "{n}", FRACTION),
    Form("{n} 3/4", None, "{n}.75", INVALID, "4", FRACTION),
    Form(r"\frac{{{n}}}{{1}}", None, "{n}", INVALID, "1", FRACTION),
    Form("1,2,{n}", None, "{n}", INVALID, "12{n}", GROUPS, (1, 2, 4, 5, 6)),
    Form("1,2,{n}", None, "2{n}", INVALID, "12{n}", GROUPS, (3,)),
    Form("{n},5", None, "5", INVALID, "{n}5", GROUPS),
    Form("12\u00a0{n}", None, "{n}", INVALID, "{n}", GROUPS, (1, 2, 4, 5, 6)),
    Form("12\u00a0{n}", None, "12{n}", INVALID, "{n}", GROUPS, (3,)),
    Form(r"\${head}{{,}}{tail}", None, "{n}", INVALID, "{tail}", GROUPS, (4, 5, 6)),
    Form("$ {n}", None, "{n}", INVALID, "{n}"),
    Form("{n}$", None, "{n}", INVALID, "{n}"),
    Form("${n}.", None, "{n}", INVALID, "{n}"),
    Form("USD{n}", None, "{n}", INVALID, "{n}"),
    Form("€{n}", None, "{n}", INVALID, "{n}"),
    Form("{n}e3", None, "3", INVALID, "3"),
]
LEADS = ("", "I think ", "x = 5, y = ")

Reader = Callable[[str], Gsm8kReading]


def wrong_readings(read: Reader, numbers: list[str]) -> Iterator[str]:
    """What a reader gets wrong of every form of every number."""
    for number in numbers:
        places = {"n": number, "head": number[:-3], "tail": number[-3:]}
        for form in (form for form in FORMS if len(number) in form.digits):
            for lead in LEADS:
                answer, reading = lead + form.text.format(**places), read(lead + form.text.format(**places))
                for name, found, wanted in (
                    ("strict", reading.strict, form.strict),
                    ("flexible", reading.flexible, form.flexible),
                ):
                    if found != (None if wanted is None else Fraction(wanted.format(**places))):
                        yield f"{name}: {answer!r} is read as {found}, not {wanted}"


@pytest.fixture(scope="module")
def numbers(gsm8k_references: list[str]) -> list[str]:
    """Final numbers of each length, some of each."""
    found: dict[int, set[str]] = {}
    for reference in gsm8k_references:
        number = reference.rsplit("#### ", 1)[1].replace(",", "")
        if number.isdecimal() and number[0] != "0" and len(number) <= 6:
            found.setdefault(len(number), set()).add(number)
    assert set(found) == {1, 2, 3, 4, 5, 6}
    return [number for some in found.values() for number in sorted(some)[:6]]


def test_every_form_is_read_as_its_line_says(numbers: list[str]) -> None:
    assert list(wrong_readings(read_answer, numbers)) == []


MUTANTS: dict[str, Reader] = {
    "no flexible number": lambda text: replace(read_answer(text), flexible=None),
    "zero": lambda text: replace(read_answer(text), flexible=Fraction(0)),
    "strict is flexible": lambda text: Gsm8kReading(read_answer(text).flexible, read_answer(text).flexible),
    "no strict number": lambda text: replace(read_answer(text), strict=None),
    "other minus signs are not read": lambda text: read_answer(re.sub("[−–]", " ", text)),
    "a minus between numbers is a sign": lambda text: read_answer(re.sub(r"(?<=[\w)])-", " -", text)),
    "currency hides a sign": lambda text: read_answer(text.replace("€", " ")),
    "no fractions": lambda text: read_answer(re.sub(r"/|\\frac", " , ", text)),
    "no decimals": lambda text: read_answer(text.replace(".", " . ")),
    "every comma groups": lambda text: read_answer(text.replace(",", "")),
    "no group marks": lambda text: read_answer(re.sub(r"\{,\}|\u00a0", " ", text)),
    "marks want a space": lambda text: read_answer(re.sub(r"####(?! -?[0-9])", " ", text)),
    "a heading is no obstacle": lambda text: read_answer(text.replace("Step 1\n", "")),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_reader_is_found_out(mutant: str, numbers: list[str]) -> None:
    assert next(wrong_readings(MUTANTS[mutant], numbers), None) is not None


def _plain(number: str, source: random.Random) -> str:
    grouped = f"{int(number):,}" if re.fullmatch(r"-?\d+", number) and source.random() < 0.5 else number
    lead = source.choice(["The answer is ", "So she has ", "Total: ", "= ", "Therefore, "])
    unit = source.choice(
        ["", ".", " eggs", " dollars.", "%", "\n", " km/h", "!", ")", " (in total)", "**", "}", ","]
    )
    currency = "$" if source.random() < 0.3 and not number.startswith("-") else ""
    mark = source.choice(["", "\n#### " + grouped, "\n#### " + number + "."])
    return f"First 3 + 4 = 7. {lead}{currency}{grouped}{unit}{mark}"


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


def test_ordinary_answers_are_judged_as_by_lm_eval(gsm8k_references: list[str]) -> None:
    source = random.Random(0)
    strict, flexible = Gsm8kOracle("strict-match"), Gsm8kOracle("flexible-extract")
    for index in range(ANSWERS // 2):
        reference = gsm8k_references[index % len(gsm8k_references)]
        answer = _plain(reference.rsplit("#### ", 1)[1], source)
        verdict = score_answer(answer, reference)
        assert verdict.strict == strict.is_right(answer, reference), answer
        assert verdict.flexible == flexible.is_right(answer, reference), answer


def test_unusual_answers_are_judged_as_by_lm_eval_or_differ_as_listed(gsm8k_references: list[str]) -> None:
    """What each side reads is the form's line; so a difference is neither side's accident."""
    source = random.Random(1)
    strict, flexible = Gsm8kOracle("strict-match"), Gsm8kOracle("flexible-extract")
    counted: Counter[str] = Counter()
    for index in range(ANSWERS // 4):
        reference = gsm8k_references[index % len(gsm8k_references)]
        number = reference.rsplit("#### ", 1)[1].replace(",", "")
        fitting = [form for form in FORMS if number.isdecimal() and len(number) in form.digits]
        if not fitting:
            continue
        form, places = source.choice(fitting), {"n": number, "head": number[:-3], "tail": number[-3:]}
        answer = source.choice(LEADS) + form.text.format(**places)
        assert strict.reading(answer) == form.their_strict.format(**places), answer
        assert flexible.reading(answer) == form.their_flexible.format(**places), answer
        verdict = score_answer(answer, reference)
        for own, theirs in (
            (verdict.strict, strict.is_right(answer, reference)),
            (verdict.flexible, flexible.is_right(answer, reference)),
        ):
            assert own == theirs or form.reason, f"{answer!r} is judged {own}, by lm-eval {theirs}"
            counted["equal" if own == theirs else form.reason] += 1
    print(f"unusual answers, verdicts: {dict(counted)}")
    assert set(counted) == {"equal", *(form.reason for form in FORMS if form.reason)}


def test_random_answers_are_read_as_the_rules_say(gsm8k_references: list[str]) -> None:
    """The rules as regular expressions are the second opinion here; lm-eval's verdicts are counted."""
    source = random.Random(2)
    strict, flexible = Gsm8kOracle("strict-match"), Gsm8kOracle("flexible-extract")
    counted: Counter[bool] = Counter()
    for index in range(ANSWERS // 4):
        reference = gsm8k_references[index % len(gsm8k_references)]
        answer = _soup(reference.rsplit("#### ", 1)[1], source)
        assert read_answer(answer) == read_by_regex(answer), answer
        verdict = score_answer(answer, reference)
        counted[verdict.strict == strict.is_right(answer, reference)] += 1
        counted[verdict.flexible == flexible.is_right(answer, reference)] += 1
    print(f"random answers, verdicts equal to lm-eval's: {counted[True]}, different: {counted[False]}")
    assert counted[True] > 0.9 * counted.total()
