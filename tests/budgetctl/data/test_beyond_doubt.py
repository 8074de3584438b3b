"""Budgets through the whole path from sources to rows: any wording, any order, any number of files and processes."""

from __future__ import annotations

import json
import random
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.console import SilentReporter
from budgetctl.data.columns import Columns
from budgetctl.data.cutting import Order, cut
from budgetctl.data.pool import held_out_prompts, load_pool
from budgetctl.data.prompt_ids import normalised
from budgetctl.data.requests import preference_data, sft_data, supply_of
from budgetctl.data.sources import LocalFiles
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution
from store import Store
from tests.budgetctl.data.rows import ListedSource, question, sft_row

numbers = st.lists(st.integers(0, 60), min_size=1, max_size=60)
forms = st.sampled_from(
    [
        "How many are {}?",
        "how many ARE {}?",
        " How many\nare {}? ",
        "How many are {}\N{FULLWIDTH QUESTION MARK}",
    ]
)
prompts = st.lists(st.tuples(st.integers(0, 30), forms), min_size=1, max_size=40)


def worded(choices):
    return [form.format(number) for number, form in choices]


@settings(deadline=None, max_examples=80)
@given(prompts, prompts, prompts)
def test_no_dev_or_test_prompt_trains_however_it_is_worded(train, dev, test):
    source = ListedSource(
        {
            ("sft", "train"): [sft_row(text, f"answer {place}") for place, text in enumerate(worded(train))],
            ("eval", "dev"): [question(text) for text in worded(dev)],
            ("eval", "test"): [question(text) for text in worded(test)],
        }
    )
    pool = load_pool(source, "sft", "train", {}, held_out_prompts(source, {}))
    asked = {normalised(text) for text in worded(dev) + worded(test)}
    wanted = [text for text in worded(train) if normalised(text) not in asked]
    rows = pool.take(range(len(pool))).column("messages").to_pylist() if len(pool) else []
    assert sorted(turns[0]["content"] for turns in rows) == sorted(wanted)
    assert pool.left_out.get("rows with a prompt of dev or test", 0) == len(train) - len(wanted)


@settings(deadline=None, max_examples=25)
@given(numbers, st.integers(0, 2**31), st.integers(1, 5), st.randoms())
def test_rows_do_not_depend_on_how_they_are_spread_over_files(
    tmp_path_factory, given_numbers, seed, files, shuffler
):
    lines = [
        json.dumps({"q": f"question {n}", "a": f"answer {place}"}) for place, n in enumerate(given_numbers)
    ]
    taken = []
    for count in (1, files):
        folder = tmp_path_factory.mktemp("rows")
        shuffler.shuffle(lines)
        parts = [folder / f"{part}.jsonl" for part in range(count)]
        for part, path in enumerate(parts):
            path.write_text("".join(line + "\n" for line in lines[part::count]))
        source, located = LocalFiles.at({"train": parts}, Columns(prompt="q", answer="a"))
        pool = load_pool(source, "sft", "train", located)
        chosen = cut(pool, "sft", (len(pool) + 1) // 2, Order(seed), "source")
        taken.append([turns[-1]["content"] for turns in pool.take(chosen).column("messages").to_pylist()])
    assert taken[0] == taken[1]


def prepare(root: str, key_size: tuple[str, int]) -> tuple[str, str]:
    """Run one data stage in a process of its own; return its key and the hash of its rows."""
    kind, size = key_size
    supply = supply_of("arith", None, {"train": 300, "dev": 20, "test": 20})
    stage = sft_data(supply, size, 3) if kind == "sft" else preference_data(supply, size, 3, n_sft=100)
    artifact = execute(stage, Store.open(root, create=True), Execution(), SilentReporter()).artifact
    return artifact.key, artifact.files[f"{kind}.parquet"].hash


@pytest.mark.parametrize("processes", [1, 3])
def test_artifacts_do_not_depend_on_the_number_of_processes(tmp_path, processes):
    wanted = [("sft", 20), ("sft", 100), ("pref", 10), ("pref", 60), ("sft", 7)]
    alone = [prepare(str(tmp_path / "alone"), one) for one in wanted]
    random.Random(processes).shuffle(order := list(range(len(wanted))))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        root = [str(tmp_path / "together")] * len(wanted)
        found = list(pool.map(prepare, root, [wanted[place] for place in order]))
    assert [found[order.index(place)] for place in range(len(wanted))] == alone


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 80), st.integers(0, 2**31), st.data())
def test_both_sides_are_nested_and_apart_for_every_pair_of_budgets(count, seed, data):
    rows = [sft_row(f"question {number}", "answer") for number in range(count)]
    pool = load_pool(ListedSource({("sft", "train"): rows}), "sft", "train", {})
    n_sft = sorted(data.draw(st.lists(st.integers(1, count - 1), min_size=2, max_size=4)))
    n_pft = sorted(data.draw(st.lists(st.integers(1, count - n_sft[-1]), min_size=2, max_size=4)))
    fronts = [cut(pool, "sft", size, Order(seed), "s") for size in n_sft]
    backs = [cut(pool, "sft", size, Order(seed, end="back"), "s") for size in n_pft]
    for smaller, larger in [*pairwise(fronts), *pairwise(backs)]:
        assert larger[: len(smaller)] == smaller
    assert all(not set(front) & set(back) for front in fronts for back in backs)
