from __future__ import annotations

import json
import os
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from budgetctl.analysis.allocation import AllocationModel, Effort
from budgetctl.analysis.next_cells import candidate_cells, measured_cells, recommend_next
from budgetctl.analysis.recommend import CONTINUOUS_SHARES, recommend
from budgetctl.analysis.results_file import Observation, read_results
from budgetctl.analysis.thumb import needs_warm_start, thumb_share
from budgetctl.errors import UsageError
from budgetctl.study.budget import Prices, split_budget

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
QUICK = Effort(chains=40, sweeps=40)


def paper_file() -> Path:
    folder = Path(os.environ.get("BUDGETCTL_TEST_DATA", "../shared/data"))
    path = folder / "paper" / "results_llama3-8B.csv"
    assert path.exists(), f"set BUDGETCTL_TEST_DATA to the folder that holds paper/{path.name}"
    return path


@lru_cache(maxsize=1)
def paper() -> tuple[Observation, ...]:
    return tuple(read_results(paper_file()))


@lru_cache(maxsize=1)
def paper_model() -> AllocationModel:
    return AllocationModel.fit(paper())


def cell(share: float, score: float, budget: float = 1000, task: str = "t") -> Observation:
    split = split_budget(budget, share, Prices())
    return Observation("b", task, budget, share, split.n_sft, split.n_pft, score)


def regret(left_out: float) -> list[float]:
    train = [one for one in paper() if one.budget != left_out]
    lost = []
    for advice in recommend(train, left_out):
        row = {
            one.sft_share: one.score for one in paper() if one.task == advice.task and one.budget == left_out
        }
        if row:
            lost.append(max(row.values()) - row[advice.sft_ratio])
    return lost


@pytest.mark.slow
def test_leaving_a_budget_of_the_paper_out_costs_little() -> None:
    """Aim: mean regret at most 0.010 over all budgets; benchmarks/allocation.py has the full comparison."""
    lost = [one for budget in (100, 500, 1000, 5000, 10_000, 20_000) for one in regret(budget)]
    assert len(lost) == 23
    assert np.mean(lost) <= 0.010


def test_extrapolating_from_5000_is_no_worse_than_the_best_rule() -> None:
    train = [one for one in paper() if one.budget <= 5000]
    model = AllocationModel.fit(train)
    lost, rule = [], []
    for budget in (10_000, 20_000):
        for advice in recommend(train, budget, model=model):
            row = {o.sft_share: o.score for o in paper() if o.task == advice.task and o.budget == budget}
            if row:
                lost.append(max(row.values()) - row[advice.sft_ratio])
                rule.append(max(row.values()) - row[0.25])
                assert advice.extrapolation > 1 and "beyond the measured" in advice.basis
    assert len(lost) == 7
    assert np.mean(lost) <= np.mean(rule)


def test_share_0_is_never_advised_for_gsm8k_even_if_it_looks_best() -> None:
    found = [cell(s, 0.9 - 0.5 * s, b, "GSM8K-test") for s in SHARES for b in (500, 1000, 5000)]
    (advice,) = recommend(found, 1000, effort=QUICK)
    assert advice.sft_ratio > 0
    assert "cold start" in advice.basis


def test_share_0_is_advised_elsewhere_when_the_data_are_sure() -> None:
    found = [cell(s, 0.9 - 0.5 * s, b, "style") for s in SHARES for b in (500, 1000, 5000)]
    (advice,) = recommend(found, 1000, effort=QUICK)
    assert advice.sft_ratio == 0


def test_the_json_has_the_documented_fields() -> None:
    advice = recommend(paper(), 5000, model=paper_model())
    objects = json.loads(json.dumps([one.as_json() for one in advice]))
    assert {(one["base"], one["task"]) for one in objects} == {
        ("llama3-8B", task) for task in ("tldr", "help", "ifeval", "gsm8k")
    }
    for one in objects:
        needed = {"base", "task", "budget", "sft_ratio", "expected", "low", "high", "alternatives", "basis"}
        assert needed <= set(one)
        assert one["budget"] == 5000 and one["sft_ratio"] in SHARES
        assert one["low"] < one["expected"] < one["high"]
        assert one["sft_ratio"] not in one["alternatives"]


def test_one_base_and_task_can_be_asked_for() -> None:
    (advice,) = recommend(paper(), 5000, model=paper_model(), base="llama3-8B", task="ifeval")
    assert (advice.base, advice.task, advice.source) == ("llama3-8B", "ifeval", "fit")


def test_an_unmeasured_base_borrows_from_the_same_task_and_says_so() -> None:
    (advice,) = recommend(paper(), 10_000, model=paper_model(), base="other-8B", task="tldr")
    assert advice.source == "borrowed" and "llama3-8B/tldr" in advice.basis
    (own,) = recommend(paper(), 10_000, model=paper_model(), task="tldr")
    assert advice.sft_ratio == own.sft_ratio


@pytest.mark.parametrize(("budget", "share"), [(100, 1.0), (2000, 0.75), (5000, 0.5), (20_000, 0.25)])
def test_without_results_the_rule_of_thumb_is_stated(budget: float, share: float) -> None:
    (advice,) = recommend([], budget)
    assert (advice.sft_ratio, advice.source, advice.expected) == (share, "rule", None)
    assert "rule of thumb (SFT only below 1,000" in advice.basis
    assert "no results" in advice.basis


def test_data_that_say_nothing_fall_back_to_the_rule_and_say_so() -> None:
    rng = np.random.default_rng(0)
    noise = [cell(s, 0.5 + 0.02 * rng.standard_normal(), b) for s in SHARES for b in (500, 5000)]
    (advice,) = recommend(noise, 10_000, effort=QUICK)
    assert (advice.source, advice.sft_ratio) == ("rule", 0.25)
    assert "cannot tell the shares apart" in advice.basis
    assert advice.expected is not None
    (single,) = recommend([cell(1.0, 0.6)], 500, effort=QUICK)
    assert single.source == "rule"


def test_the_menu_can_be_given_and_continuous() -> None:
    (advice,) = recommend(paper(), 5000, model=paper_model(), task="gsm8k", shares=(0.9, 0.1))
    assert advice.sft_ratio in (0.9, 0.1)
    (fine,) = recommend(paper(), 5000, model=paper_model(), task="gsm8k", shares=CONTINUOUS_SHARES)
    assert 0.2 < fine.sft_ratio < 1
    with pytest.raises(UsageError, match=r"share 1.2 is not between"):
        recommend(paper(), 5000, model=paper_model(), shares=(1.2,))


@pytest.mark.parametrize("task", ["tldr", "help", "ifeval", "gsm8k"])
def test_dearer_sft_rows_are_bought_less(task: str) -> None:
    bought = []
    for price in (1, 4, 10):
        prices = Prices(Fraction(price), Fraction(1), "units")
        (advice,) = recommend(
            paper(), 20_000, prices=prices, shares=CONTINUOUS_SHARES[:-1:5], task=task, model=paper_model()
        )
        spent = advice.split.n_sft * price + advice.split.n_pft
        assert spent + advice.split.left_over == 20_000
        bought.append((advice.split.n_sft, advice.split.n_sft / advice.split.rows))
    assert bought[2] < bought[0]
    assert bought[2][1] < bought[0][1]


def test_a_budget_that_buys_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="buys no example"):
        recommend(paper(), 0.5, model=paper_model())


@pytest.mark.parametrize("name", ["gsm8k", "MATH", "arith", "aime-2024"])
def test_reasoning_tasks_are_known_by_name(name: str) -> None:
    assert needs_warm_start(name)
    assert not needs_warm_start("tldr")


def test_the_rule_takes_the_nearest_share_of_the_menu() -> None:
    assert thumb_share(20_000, [1.0, 0.6, 0.3, 0.0]) == 0.3
    assert thumb_share(20_000, [0.0]) == 0.0


def test_the_next_cells_are_new_and_lie_where_the_answer_is_open() -> None:
    train = [one for one in paper() if one.budget <= 1000]
    model = AllocationModel.fit(train, effort=QUICK)
    offers = candidate_cells(model.groups, (100, 500, 1000, 5000, 10_000), SHARES)
    known = measured_cells(train)
    offers = [one for one in offers if (*one.group, one.n_sft, one.n_pft) not in known]
    asked = candidate_cells(model.groups, (10_000,), SHARES)
    picks = recommend_next(model, offers, asked, 5, cost=lambda one: 1.0)
    assert len({pick.cell for pick in picks}) == 5
    assert all(pick.gain >= 0 for pick in picks)
    assert all(pick.cell.budget >= 5000 for pick in picks)


def test_a_dear_cell_must_promise_more() -> None:
    model = paper_model()
    asked = candidate_cells(model.groups, (10_000,), SHARES)
    offers = candidate_cells(model.groups, (5000, 10_000), SHARES)
    free = recommend_next(model, offers, asked, 3, cost=lambda one: 1.0)
    top = free[0].cell
    dear = recommend_next(model, offers, asked, 3, cost=lambda one: 1e6 if one == top else 1.0)
    assert top not in [pick.cell for pick in dear]


def test_what_cannot_be_picked_is_refused() -> None:
    model = paper_model()
    asked = candidate_cells(model.groups, (10_000,), SHARES)
    with pytest.raises(UsageError, match="cost of"):
        recommend_next(model, asked, asked, 1, cost=lambda one: 0.0)
    strange = candidate_cells([("x", "y", "")], (100,), SHARES)
    with pytest.raises(UsageError, match="no candidate cell"):
        recommend_next(model, strange, strange, 1)
