"""Pairs and SFT rows from a model's own answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.data.judged import Answer, Judged
from tests.budgetctl.data.rows import user

PROMPT = user("1+1?")
GOOD, BETTER = Answer("it is 2", True, -3.0), Answer("2", True, -1.0)
WRONG, LIKELY, LONG = Answer("3", False, -9.0), Answer("11", False, -0.5), Answer("a window", False, -20.0)

answers = st.lists(
    st.builds(Answer, st.text("ab ", max_size=4), st.booleans(), st.floats(-50, 0)), max_size=8
)


def rejected_by(rule, given=(GOOD, BETTER, WRONG, LIKELY, LONG), name="p", seed=0):
    (pair,) = Judged(rule, seed).pairs(name, PROMPT, given)
    assert pair["chosen"][0]["content"] == "2"
    return pair["rejected"][0]["content"]


def test_the_rules_for_the_rejected_answer():
    assert rejected_by("hardest") == "11"
    assert rejected_by("nearest") == "3"
    assert rejected_by("nearest", (BETTER, LONG, LIKELY)) == "11"
    assert {rejected_by("random", name=f"p{n}") for n in range(30)} == {"3", "11", "a window"}


def test_a_random_choice_depends_on_seed_and_prompt_and_not_on_order():
    for seed in range(5):
        left = rejected_by("random", (BETTER, WRONG, LIKELY, LONG), seed=seed)
        assert left == rejected_by("random", (LONG, LIKELY, BETTER, WRONG), seed=seed)
    assert len({rejected_by("random", seed=seed) for seed in range(30)}) == 3


@pytest.mark.parametrize(
    ("given", "reason"),
    [([GOOD], "prompts without a wrong answer"), ([WRONG], "prompts without a right answer"),
     ([], "prompts without a right answer")],
)  # fmt: skip
def test_prompts_that_give_no_pair_are_counted(given, reason):
    judged = Judged("random", 0)
    assert list(judged.pairs("p", PROMPT, given)) == []
    assert judged.without == {reason: 1}


def test_best_of_n_takes_the_likeliest_right_answer():
    (row,) = Judged("random", 0).best(PROMPT, [GOOD, LIKELY, BETTER])
    assert row == {"messages": [*PROMPT, {"role": "assistant", "content": "2"}]}


def test_a_right_answer_that_was_cut_is_on_neither_side():
    judged, cut = Judged("hardest", 0), Answer("2 and", True, 0.0, cut=True)
    (pair,) = judged.pairs("p", PROMPT, [cut, GOOD, WRONG])
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("it is 2", "3")
    assert list(judged.best(PROMPT, [cut, WRONG])) == []
    assert (judged.unused, judged.without) == (2, {"prompts without a right answer": 1})


def test_a_text_that_also_ended_by_itself_counts_as_ended():
    cut = Answer(GOOD.text, False, 0.0, cut=True)  # a scorer may judge it otherwise when it was cut
    for order in ([cut, GOOD, WRONG], [WRONG, GOOD, cut]):
        (pair,) = Judged("hardest", 0).pairs("p", PROMPT, order)
        assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("it is 2", "3")


@settings(deadline=None)
@given(answers, st.sampled_from(["random", "hardest", "nearest"]), st.integers(0, 9))
def test_a_pair_is_always_right_over_wrong(given, rule, seed):
    judged = Judged(rule, seed)
    rows = list(judged.pairs("p", PROMPT, given))
    assert len(rows) + sum(judged.without.values()) == 1
    for row in rows:
        chosen, rejected = row["chosen"][0]["content"], row["rejected"][0]["content"]
        first = {}
        for answer in given:
            first.setdefault(answer.text, answer.right)
        assert first[chosen] is True
        assert first[rejected] is False
