"""The overlap matrix: what two sets of rows share, word for word and otherwise worded."""

from __future__ import annotations

import json
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.data.overlap import collected, matrix, of_rows, of_split, of_texts
from budgetctl.data.pool import load_pool
from budgetctl.data.prompt_ids import normalised, prompt_id
from tests.budgetctl.data.rows import ListedSource, pair, question, sft_row, user

wordings = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(["what is {}?", "What is {}?", "what  is {}?"])),
    max_size=25,
)


def texts(choices):
    return [wording.format(number) for number, wording in choices]


def brute(left, right):
    """Shared prompts of two lists of texts: normalised, exact."""
    both = {normalised(text) for text in left} & {normalised(text) for text in right}
    return len(both), len({normalised(text) for text in set(left) & set(right)})


@settings(deadline=None, max_examples=60)
@given(wordings, wordings, wordings)
def test_counts_are_those_of_comparing_every_two_texts(sft, pref, test):
    source = ListedSource(
        {
            ("sft", "train"): [sft_row(text, f"a{place}") for place, text in enumerate(texts(sft))],
            ("pref", "train"): [pair(text, f"a{place}", "b") for place, text in enumerate(texts(pref))],
            ("eval", "test"): [question(text) for text in texts(test)],
        }
    )
    pools = {kind: load_pool(source, kind, "train", {}) for kind in ("sft", "pref")}
    sets = {kind: of_rows(pool, range(len(pool)), kind) for kind, pool in pools.items()}
    counts = matrix(sets | {"test": of_texts(of_split(source, "test", {}))})
    named = {"sft": texts(sft), "pref": texts(pref), "test": texts(test)}
    for left, ours in named.items():
        for right, theirs in named.items():
            found = counts["normalised"][left][right], counts["exact"][left][right]
            assert found == brute(ours, theirs)
        assert counts["prompts"][left] == len({normalised(text) for text in ours})


def test_system_messages_make_no_other_prompt():
    with_system = [("system", "Be brief."), ("user", "one?")]
    found = collected([(prompt_id(user("one?")), with_system), (prompt_id(user("one?")), [("user", "one?")])])
    assert [len(digests) for digests in found.values()] == [1]


def test_the_order_of_texts_within_a_prompt_does_not_matter():
    rows = [sft_row("One?", "a"), sft_row("one?", "b"), sft_row("two?", "c")]
    pool = load_pool(ListedSource({("sft", "train"): rows}), "sft", "train", {})
    asked = of_split(ListedSource({("eval", "test"): [question("one?")]}), "test", {})
    counts = matrix({"sft": of_rows(pool, range(3), "sft"), "test": of_texts(asked)})
    assert (counts["normalised"]["sft"]["test"], counts["exact"]["sft"]["test"]) == (1, 1)
    only_other = matrix({"sft": of_rows(pool, [row for row in range(3) if pool.take([row]).column("messages")[0][0]
                        ["content"].as_py() == "One?"], "sft"), "test": of_texts(asked)})  # fmt: skip
    assert (only_other["normalised"]["sft"]["test"], only_other["exact"]["sft"]["test"]) == (1, 0)


def test_a_command_prints_the_matrix_of_a_task(tmp_path):
    line = [sys.executable, "-m", "budgetctl", "data", "overlap", "arith", "--store", str(tmp_path / "s")]
    sizes = ["--set", "train=50", "--set", "dev=5", "--set", "test=6"]
    shown, document = (
        subprocess.run([*line, *sizes, *more], capture_output=True, text=True, check=True).stdout
        for more in ([], ["--json"])
    )
    counts = json.loads(document)
    assert counts["prompts"] == {"sft": 50, "pref": counts["exact"]["pref"]["unpaired"], "unpaired":
                                 counts["prompts"]["pref"], "dev": 5, "test": 6}  # fmt: skip
    assert counts["normalised"]["sft"]["test"] == 0
    assert "50 (50)" in shown
