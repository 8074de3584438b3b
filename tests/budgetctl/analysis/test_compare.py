from __future__ import annotations

import json
from dataclasses import replace

import pytest
from analysis_grids import unfinished, verdict_cell

from budgetctl.analysis.cells import CellResult, CellStatus
from budgetctl.analysis.compare import compare
from budgetctl.errors import UsageError


def test_a_paired_comparison_counts_items_and_decides() -> None:
    right = [1.0] * 50 + [0.0] * 50
    left = [1.0] * 50 + [1.0] * 12 + [0.0] * 36 + [0.0, 0.0]
    found = compare([verdict_cell(left)], [verdict_cell(right)])
    assert (found.wins, found.losses, found.draws) == (12, 0, 88)
    assert found.verdict == "the first is better"
    assert found.gap.mean == pytest.approx(0.12)
    text = found.as_text()
    assert "difference +0.120" in text and "paired by item" in text and "first better on 12" in text
    assert json.loads(json.dumps(found.as_json()))["real"] is True


def test_the_sign_follows_the_order() -> None:
    good, bad = [verdict_cell([1.0] * 30 + [0.0] * 2)], [verdict_cell([0.0] * 30 + [1.0] * 2)]
    assert compare(bad, good).verdict == "the second is better"


def test_noise_is_called_noise() -> None:
    left, right = [1.0, 0.0] * 20, [0.0, 1.0] * 20
    found = compare([verdict_cell(left)], [verdict_cell(right)])
    assert found.verdict == "the two cannot be told apart"
    assert (found.wins, found.losses) == (20, 20)


def test_seeds_that_disagree_widen_the_interval() -> None:
    left = [verdict_cell([1.0] * k + [0.0] * (100 - k), seed=k) for k in (50, 70)]
    right = [verdict_cell([1.0] * k + [0.0] * (100 - k), seed=k) for k in (50, 52)]
    one = compare(left[:1], right[:1])
    two = compare(left, right)
    assert two.gap.high is not None and two.gap.low is not None
    assert one.gap.high is not None and one.gap.low is not None
    assert two.gap.high - two.gap.low > one.gap.high - one.gap.low


def test_scores_alone_say_nothing_for_sure() -> None:
    left, right = (CellResult("b", "t", "dpo", 1, 1.0, score=score) for score in (0.5, 0.4))
    found = compare([left], [right])
    assert "nothing says whether" in found.verdict and found.wins is None
    assert "difference +0.100\n" in found.as_text()


def test_what_cannot_be_compared_is_refused() -> None:
    done = verdict_cell([1, 0])
    with pytest.raises(UsageError, match="the second result has no score"):
        compare([done], [unfinished(CellStatus.RUNNING, budget=1, sft_share=1)])
    with pytest.raises(UsageError, match="first result has no score"):
        compare([], [done])
    with pytest.raises(UsageError, match="different tasks cannot be compared: arith, other"):
        compare([done], [replace(done, task="other")])
