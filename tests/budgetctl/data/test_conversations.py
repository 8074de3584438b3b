"""Answers that are conversations: what stands before the last turn belongs to the prompt, and is never cut."""

from __future__ import annotations

import pytest

from budgetctl.data.columns import Columns
from budgetctl.data.reasons import LeftOut
from budgetctl.errors import UsageError
from tests.budgetctl.data.rows import assistant, user

COLUMNS = Columns(prompt="p", answer="a", chosen="c", rejected="r", reference="x")
SYSTEM = [{"role": "system", "content": "Mind."}]
LONGER = [*assistant("hm"), *user("and?")]


def rows(kind="pref", columns=COLUMNS, **record):
    return list(columns.rows({"p": "q", **record}, kind, "t.jsonl, line 7", LeftOut()))


@pytest.mark.parametrize(
    ("prompt", "before", "expected"),
    [
        ("q", [], user("q")),
        ("q", user("q"), user("q")),
        ("Q ", user("q"), user("Q ")),
        ("q", [*user("q"), *LONGER], [*user("q"), *LONGER]),
        ("q", LONGER, [*user("q"), *LONGER]),
        ("q", [*SYSTEM, *user("q")], [*SYSTEM, *user("q")]),
        ([*SYSTEM, *user("q")], [*SYSTEM, *user("q"), *LONGER], [*SYSTEM, *user("q"), *LONGER]),
        ([*SYSTEM, *user("q")], [*user("q"), *LONGER], [*SYSTEM, *user("q"), *LONGER]),
        ([*user("q"), *LONGER], user("and?"), [*user("q"), *LONGER]),
    ],
)
def test_earlier_turns_belong_to_the_prompt(prompt, before, expected):
    (pair,) = rows(p=prompt, c=before + assistant("good"), r=before + assistant("bad"))
    assert pair == {"prompt": expected, "chosen": assistant("good"), "rejected": assistant("bad")}
    (demonstration,) = rows("sft", p=prompt, a=before + assistant("good"))
    assert demonstration["messages"] == expected + assistant("good")


def test_pairs_of_whole_conversations_need_no_prompt_column():
    talk = [*user("q"), *LONGER]
    columns = Columns(messages="c", chosen="c", rejected="r")
    (pair,) = rows(columns=columns, c=talk + assistant("good"), r=talk + assistant("bad"))
    assert pair["prompt"] == talk


@pytest.mark.parametrize(
    ("chosen", "rejected", "message"),
    [
        ([*user("q"), *LONGER, *assistant("good")], [*user("q"), *assistant("bad")], "'c' and 'r' part before"),
        ([*user("q"), *LONGER, *assistant("good")], "bad", "'c' and 'r' part before"),
        ([*user("else"), *assistant("good")], "bad", "'c' begins with another turn than the prompt: 'else'"),
        ([*user("q"), *user("more")], "bad", "'c' must end with an assistant's turn, found one of role 'user'"),
        ("good", [*user("q"), {"role": "tool", "content": "bad"}], "'r' has a turn of role 'tool'; the roles are"),
    ],
)  # fmt: skip
def test_conversations_that_are_no_pair_are_named(chosen, rejected, message):
    with pytest.raises(UsageError, match=f"t.jsonl, line 7: .*{message}"):
        rows(c=chosen, r=rejected)


def test_another_system_message_than_the_prompts_is_named():
    with pytest.raises(UsageError, match="'c' has another system message than the prompt"):
        rows(p=SYSTEM + user("q"), c=[{"role": "system", "content": "Other."}, *assistant("g")], r="bad")


def test_a_gold_answer_must_follow_the_prompt_itself():
    (row,) = rows("eval", x="1", a=user("q") + assistant("one"))
    assert row["answer"] == "one"
    with pytest.raises(UsageError, match="line 7: the gold answer in column 'a' follows other turns"):
        rows("eval", x="1", a=[*user("q"), *LONGER, *assistant("one")])


def test_empty_answers_stay_empty_to_be_left_out():
    (pair,) = rows(c=None, r=[*user("q"), *LONGER, *assistant("bad")])
    assert pair["chosen"] == assistant("")
    (pair,) = rows(p=None, c=[*user("q"), *assistant("good")], r=[*user("q"), *assistant("bad")])
    assert pair["prompt"] == user("")
