"""What a budget buys: nested, disjoint, exact, and independent of everything but the seed."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.data.cutting import Order, cut, require_apart
from budgetctl.data.errors import ShortageError
from budgetctl.data.pool import Pool, held_out_prompts, load_pool
from budgetctl.data.ranking import ranked
from budgetctl.data.sift import held_out_names, names_in
from budgetctl.data.sources import ArithSource
from tests.budgetctl.data.rows import ListedSource, pair, sft_row

prompts = st.lists(st.integers(0, 400), min_size=1, max_size=120)
seeds = st.integers(0, 2**31)
groupings = st.sampled_from(["together", "spread"])


def sft_pool(numbers: list[int]) -> Pool:
    """Rows in which equal numbers are different answers to one prompt."""
    rows = [sft_row(f"question {number}", f"answer {place}") for place, number in enumerate(numbers)]
    return load_pool(ListedSource({("sft", "train"): rows}), "sft", "train", {})


def contents(pool: Pool, chosen: list[int]) -> list[str]:
    return [turns[-1]["content"] for turns in pool.take(chosen).column("messages").to_pylist()]


@settings(deadline=None, max_examples=60)
@given(prompts, seeds, groupings, st.lists(st.integers(1, 120), min_size=2, max_size=6))
def test_larger_budgets_contain_smaller_ones(numbers, seed, grouping, sizes):
    pool = sft_pool(numbers)
    previous: list[int] = []
    for size in sorted(min(size, len(pool)) for size in sizes):
        chosen = cut(pool, "sft", size, Order(seed, grouping=grouping), "source")
        assert len(chosen) == size == len(set(chosen))
        assert chosen[: len(previous)] == previous
        previous = chosen


@pytest.mark.parametrize("kind", ["sft", "pref"])
def test_the_plan_counts_the_rows_that_the_data_stage_takes(kind):
    source = ArithSource(train=300, dev=40, test=40)
    held_out = held_out_names(source, {})
    assert held_out == held_out_prompts(source, {})
    some = frozenset([*held_out, *load_pool(source, kind, "train", {}).prompt_ids[:7]])
    counted, pool = (
        names_in(source, kind, {}, some),
        load_pool(source, kind, "train", {}, some),
    )
    assert (counted.prompt_ids, counted.digests) == (pool.prompt_ids, pool.digests)
    assert counted.left_out == pool.left_out != {}


@settings(deadline=None, max_examples=60)
@given(prompts, seeds, groupings, st.randoms())
def test_row_order_does_not_matter(numbers, seed, grouping, shuffler):
    rows = [sft_row(f"question {number}", f"answer {place}") for place, number in enumerate(numbers)]
    shuffled = rows[:]
    shuffler.shuffle(shuffled)
    taken = []
    for order in (rows, shuffled):
        pool = load_pool(ListedSource({("sft", "train"): order}), "sft", "train", {})
        chosen = cut(pool, "sft", (len(pool) + 1) // 2, Order(seed, grouping=grouping), "source")
        taken.append(contents(pool, chosen))
    assert taken[0] == taken[1]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 80), seeds, st.data())
def test_the_two_sides_share_no_prompt_while_prompts_last(count, seed, data):
    pool = sft_pool(list(range(count)))
    n_sft = data.draw(st.integers(0, count))
    n_pft = data.draw(st.integers(0, count))
    front = cut(pool, "sft", n_sft, Order(seed), "s") if n_sft else []
    back = cut(pool, "sft", n_pft, Order(seed, end="back"), "s") if n_pft else []
    left = [pool.prompt_ids[row] for row in front]
    right = [pool.prompt_ids[row] for row in back]
    if n_sft + n_pft <= count:
        assert not set(left) & set(right)
        require_apart(right, left, n_sft)
    else:
        with pytest.raises(ShortageError, match=f"{n_sft + n_pft - count} would be on both sides"):
            require_apart(right, left, n_sft)


@settings(deadline=None, max_examples=60)
@given(prompts, seeds)
def test_together_keeps_the_answers_of_a_prompt_next_to_each_other(numbers, seed):
    pool = sft_pool(numbers)
    order = [pool.prompt_ids[row] for row in cut(pool, "sft", None, Order(seed), "s")]
    changes = sum(left != right for left, right in pairwise(order))
    assert changes == len(set(order)) - 1


@settings(deadline=None, max_examples=60)
@given(prompts, seeds)
def test_spread_takes_one_answer_of_every_prompt_first(numbers, seed):
    pool = sft_pool(numbers)
    order = [pool.prompt_ids[row] for row in cut(pool, "sft", None, Order(seed, grouping="spread"), "s")]
    distinct = len(set(order))
    assert len(set(order[:distinct])) == distinct


@settings(deadline=None, max_examples=60)
@given(prompts, seeds)
def test_taken_rows_come_in_the_order_asked_for(numbers, seed):
    pool = sft_pool(numbers)
    chosen = cut(pool, "sft", None, Order(seed), "s")
    random.Random(seed).shuffle(chosen)
    assert pool.take(chosen).column("prompt_id").to_pylist() == [pool.prompt_ids[row] for row in chosen]


def test_more_rows_than_there_are_is_an_error_that_counts_them():
    pool = sft_pool([1, 2, 3])
    with pytest.raises(ShortageError, match="demo has 3 SFT rows, and 4 are asked for"):
        cut(pool, "sft", 4, Order(0), "demo")


def test_an_empty_source_is_an_error():
    pool = load_pool(ListedSource(), "pref", "train", {})
    with pytest.raises(ShortageError, match="demo has no preference pairs"):
        cut(pool, "pref", 1, Order(0), "demo")


def test_what_was_left_out_is_part_of_the_error():
    rows = [pair("q", "same", "same"), pair("q", "good", "")]
    pool = load_pool(ListedSource({("pref", "train"): rows}), "pref", "train", {})
    assert pool.left_out == {"pairs whose answers are equal": 1, "rows with an empty text": 1}
    with pytest.raises(ShortageError, match="1 pairs whose answers are equal, 1 rows with an empty text"):
        cut(pool, "pref", 1, Order(0), "demo")


def test_the_ranking_is_the_same_in_every_process():
    program = (
        "from budgetctl.data.ranking import ranked\n"
        "print(ranked(7, [f'p{i % 40}' for i in range(100)], [bytes([i]) for i in range(100)]))"
    )
    answers = set()
    for hash_seed in ("0", "1", "random"):
        command, env = [sys.executable, "-c", program], {"PYTHONHASHSEED": hash_seed}
        answers.add(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(answers) == 1


def test_the_ranking_stays_what_it_was():
    """A golden value: keys of published data artifacts promise this order."""
    assert ranked(0, [f"p{i}" for i in range(8)], [b""] * 8) == [3, 4, 1, 7, 6, 2, 5, 0]
