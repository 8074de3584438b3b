"""The arith task: disjoint splits, right arithmetic, two annotators, a strict scorer."""

from __future__ import annotations

import re
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.data.dice import Dice
from budgetctl.data.sources import ArithSource
from budgetctl.tasks import task_named
from budgetctl.tasks.arith import Problem, every_core, problems

worlds = st.integers(0, 50)
numbers = re.compile(r"\d+")


def some(split, world=0, count=60) -> list[Problem]:
    return list(islice(problems(split, world), count))


@settings(deadline=None, max_examples=30)
@given(worlds, worlds)
def test_splits_share_no_arithmetic_whatever_the_world(left, right):
    cores = {
        split: {problem.core for problem in some(split, world)}
        for split, world in (("train", left), ("dev", right), ("test", left))
    }
    assert not cores["train"] & cores["dev"]
    assert not cores["train"] & cores["test"]
    assert not cores["dev"] & cores["test"]


def test_every_core_has_one_split_and_each_split_has_many():
    counts = {"train": 0, "dev": 0, "test": 0}
    for core in every_core():
        counts[core.split] += 1
        assert core.middle > 0
        assert core.count > 0
    assert counts["train"] > 3 * (counts["dev"] + counts["test"])
    assert min(counts.values()) > 300


@settings(deadline=None, max_examples=30)
@given(worlds)
def test_every_equation_is_true_and_uses_the_storys_numbers(world):
    for problem in some("train", world, 30):
        told = numbers.findall(problem.text)
        for step in problem.steps:
            left, right = step.split("=")
            first, sign, second = re.fullmatch(r"(\d+)([+-])(\d+)", left).groups()
            assert int(right) == (int(first) + int(second) if sign == "+" else int(first) - int(second))
            assert second in told
        assert problem.steps[0].startswith(told[0])
        assert problem.careful.splitlines()[-1] == f"#### {problem.answer}"


def test_problems_are_repeatable_and_distinct():
    assert [p.text for p in some("dev")] == [p.text for p in some("dev")]
    assert len({p.text for p in some("dev", count=300)}) == 300
    assert [p.text for p in some("dev", 0)] != [p.text for p in some("dev", 1)]


def test_the_habit_strikes_at_its_rate_and_only_on_together_questions():
    source = ArithSource(train=3000, habit=0.7)
    early = {True: 0, False: 0}
    asked = {True: 0, False: 0}
    for row in source.rows("sft", "train", {}):
        prompt, answer = (turn["content"] for turn in row["messages"])
        together = "together" in prompt
        asked[together] += 1
        early[together] += answer.count("=") < (3 if together else 2)
    assert early[False] == 0
    assert early[True] / asked[True] == pytest.approx(0.7, abs=0.04)
    assert asked[True] / 3000 == pytest.approx(0.5, abs=0.04)


def test_pairs_prefer_the_careful_answer_and_exist_where_annotators_differ():
    task = task_named("arith")
    rows = list(ArithSource(train=400, overruns=0).rows("pref", "train", {}))
    assert 150 < len(rows) < 250
    references = {problem.text: str(problem.answer) for problem in islice(problems("train", 0), 400)}
    for row in rows:
        prompt = row["prompt"][0]["content"]
        assert "together" in prompt
        assert task.score(row["chosen"][0]["content"], references[prompt], False)["correct"] == 1
        assert task.score(row["rejected"][0]["content"], references[prompt], False)["correct"] == 0


def test_overruns_add_pairs_for_own_questions():
    task = task_named("arith")
    rows = [row for row in ArithSource(train=400, overruns=1.0).rows("pref", "train", {})]
    assert len(rows) == 400
    for row in rows:
        reference = row["chosen"][0]["content"].split()[-1]
        assert task.score(row["rejected"][0]["content"], reference, False)["correct"] == 0


@pytest.mark.parametrize(
    ("text", "correct", "answered"),
    [
        ("3+4=7\n7-2=5\n#### 5", 1, 1),
        ("#### 5", 1, 1),
        ("#### 5\n", 1, 1),
        ("#### 05", 1, 1),
        ("####5", 1, 1),
        ("#### 6", 0, 1),
        ("#### 5 pens", 0, 0),
        ("#### 5\nor so", 0, 0),
        ("the answer is 5", 0, 0),
        ("#### five", 0, 0),
        ("#### 5 5", 0, 0),
        ("", 0, 0),
    ],
)
def test_only_a_marked_number_on_the_last_line_counts(text, correct, answered):
    assert task_named("arith").score(text, "5", False) == {"correct": correct, "answered": answered}


def test_an_answer_that_was_cut_off_does_not_count():
    assert task_named("arith").score("#### 5", "5", True) == {"correct": 0, "answered": 0}


def test_dice_are_the_documented_sequence():
    """`random.Random.random` of a text seed never changes between Python versions; neither may we."""
    dice = Dice("x")
    assert [dice.below(100) for _ in range(5)] == [63, 59, 48, 76, 38]
