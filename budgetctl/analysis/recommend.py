"""From fitted surfaces to advice: which share, what to expect of it, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from budgetctl.analysis.allocation import AllocationModel, Effort, GroupName
from budgetctl.analysis.cells import FloatArray
from budgetctl.analysis.results_file import Observation
from budgetctl.analysis.thumb import RULE, needs_warm_start, thumb_share
from budgetctl.errors import UsageError
from budgetctl.study.budget import Prices, Split, split_budget

Source = Literal["fit", "borrowed", "rule"]
DEFAULT_SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
CONTINUOUS_SHARES = tuple(round(step / 100, 2) for step in range(100, -1, -1))
CONFIDENCE = 0.90
_LEVEL = 0.05  # a share that beats the recommended one with at least this probability is an alternative
_SURE = 0.95  # probability from which data overrule the cold start
_DECIDED = 0.75  # probability of beating the rule's share from which the data outweigh the rule
_FEW = 3


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Advice for one base model and task.

    Attributes:
        budget: as asked, in examples or money.
        sft_ratio: share of the budget for SFT.
        expected: expected score at that share; None without any data.
        low, high: 90 % interval of the true score (not of a noisy measurement).
        alternatives: shares of the menu that the data cannot tell apart from it.
        basis: in words, where it comes from and how far it reaches beyond the data.
        source: `fit` on this base and task, `borrowed` from others, or the `rule` of thumb.
        split: rows that the share buys.
        extrapolation: how many times beyond the measured budgets it lies; 1 is inside.
    """

    base: str
    task: str
    budget: float
    sft_ratio: float
    expected: float | None
    low: float | None
    high: float | None
    alternatives: tuple[float, ...]
    basis: str
    source: Source
    split: Split
    extrapolation: float
    method: str = ""

    def as_json(self) -> dict[str, Any]:
        """The documented JSON object; with `method` where the results know one."""
        return {
            "base": self.base,
            "task": self.task,
            **({"method": self.method} if self.method else {}),
            "budget": int(self.budget) if float(self.budget).is_integer() else self.budget,
            "sft_ratio": self.sft_ratio,
            "expected": _rounded(self.expected),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "alternatives": list(self.alternatives),
            "basis": self.basis,
            "n_sft": self.split.n_sft,
            "n_pft": self.split.n_pft,
        }


def recommend(
    observations: Sequence[Observation],
    budget: float,
    *,
    prices: Prices | None = None,
    shares: Sequence[float] | None = None,
    base: str | None = None,
    task: str | None = None,
    model: AllocationModel | None = None,
    effort: Effort | None = None,
    seed: int = 0,
) -> list[Recommendation]:
    """Advice for every (base, task) of the observations, or for the one asked for.

    Args:
        observations: scores measured so far; may be empty.
        budget: what there is to spend: examples, or money when `prices` are given.
        prices: of one SFT row and one preference pair; one each by default.
        shares: the menu; by default the shares measured for that base and task.
        base: only this base model; one without results borrows from the others.
        task: only this task, likewise.
        model: a fitted model of the same observations, to spare fitting it again.
        effort: of the fit.
        seed: of the fit.

    Raises:
        UsageError: the budget buys nothing, or a share lies outside [0, 1].
    """
    prices = prices or Prices()
    for share in shares or ():
        if not 0 <= share <= 1:
            raise UsageError(f"the share {share:g} is not between 0 (pairs only) and 1 (SFT only)")
    if model is None and observations:
        model = AllocationModel.fit(observations, effort=effort, seed=seed)
    found = [
        _advise(model, observations, name, budget, prices, shares) for name in _wanted(model, base, task)
    ]
    return found


def _wanted(model: AllocationModel | None, base: str | None, task: str | None) -> list[GroupName]:
    known = model.groups if model else ()
    matching = [g for g in known if (base is None or g[0] == base) and (task is None or g[1] == task)]
    if matching:
        return matching
    bases = [base] if base else list(dict.fromkeys(group[0] for group in known)) or ["any"]
    tasks = [task] if task else list(dict.fromkeys(group[1] for group in known)) or ["any"]
    methods = list(dict.fromkeys(group[2] for group in known)) or [""]
    return [(one, other, method) for one in bases for other in tasks for method in methods]


def _advise(
    model: AllocationModel | None,
    observations: Sequence[Observation],
    name: GroupName,
    budget: float,
    prices: Prices,
    shares: Sequence[float] | None,
) -> Recommendation:
    donors = _donors(model, name)
    menu = _menu(observations, donors, shares)
    splits = {share: split_budget(budget, share, prices) for share in menu}
    if all(split.rows == 0 for split in splits.values()):
        raise UsageError(f"a budget of {budget:g} buys no example at these prices; raise it")
    rows = float(np.median([split.rows for split in splits.values()]))
    ruled = thumb_share(rows, menu)
    if model is None or not donors:
        basis = f"rule of thumb ({RULE}), as there are no results to go by"
        return _result(name, budget, ruled, None, (), basis, "rule", splits[ruled], 1.0)
    draws = np.concatenate(
        [
            model.score_draws(
                donor, [splits[share].n_sft for share in menu], [splits[share].n_pft for share in menu]
            )
            for donor in donors
        ]
    )
    allowed, remark = _allowed(draws, menu, name[1])
    best = max(allowed, key=lambda index: float(draws[:, index].mean()))
    near = _alternatives(draws, best)
    own = [one for one in observations if _name(one) == name]
    source: Source = "fit" if donors == [name] else "borrowed"
    basis = _fit_basis(own, donors, name)
    undecided = (
        set(allowed) <= near and float((draws[:, best] > draws[:, menu.index(ruled)]).mean()) < _DECIDED
    )
    if undecided or (source == "fit" and _says_nothing(own)):
        best, source = menu.index(ruled), "rule"
        near = _alternatives(draws, best)
        basis = f"rule of thumb ({RULE}), as the {basis} cannot tell the shares apart"
    reach = max(_reach(model, donor, splits[menu[best]].rows) for donor in donors)
    basis += f"; {_reach_text(reach)}" + (f"; {remark}" if remark else "")
    others = tuple(menu[index] for index in sorted(near - {best}))
    return _result(name, budget, menu[best], draws[:, best], others, basis, source, splits[menu[best]], reach)


def _donors(model: AllocationModel | None, name: GroupName) -> list[GroupName]:
    """The group itself; else those on the same task; else all: whose surfaces to go by."""
    if model is None:
        return []
    if name in model.groups:
        return [name]
    return [group for group in model.groups if group[1:] == name[1:]] or list(model.groups)


def _menu(
    observations: Sequence[Observation], donors: Sequence[GroupName], shares: Sequence[float] | None
) -> list[float]:
    if shares:
        return sorted(dict.fromkeys(shares), reverse=True)
    measured = {one.sft_share for one in observations if one.budget > 0 and _name(one) in set(donors)}
    return sorted(measured, reverse=True) if len(measured) > 1 else list(DEFAULT_SHARES)


def _allowed(draws: FloatArray, menu: Sequence[float], task: str) -> tuple[list[int], str]:
    """The shares that may be advised: 0 only if the data are sure of it, and never for reasoning tasks."""
    warm = [index for index, share in enumerate(menu) if share > 0]
    cold = [index for index, share in enumerate(menu) if share == 0]
    if not cold or not warm:
        return list(range(len(menu))), ""
    rival = max(warm, key=lambda index: float(draws[:, index].mean()))
    ahead = float((draws[:, cold[0]] > draws[:, rival]).mean())
    if not needs_warm_start(task) and ahead >= _SURE:
        return [*warm, *cold], ""
    return warm, "share 0 left out (cold start)" if ahead > 1 / 2 else ""


def _alternatives(draws: FloatArray, best: int) -> set[int]:
    """Columns that beat the best with a probability worth mentioning, and the best itself."""
    chance = (draws > draws[:, [best]]).mean(axis=0)
    return {index for index in range(draws.shape[1]) if chance[index] >= _LEVEL} | {best}


def _says_nothing(own: Sequence[Observation]) -> bool:
    trained = [one for one in own if one.budget > 0]
    return len(trained) < _FEW or len({one.sft_share for one in trained}) < 2


def _name(one: Observation) -> GroupName:
    return one.base, one.task, one.method


def _fit_basis(own: Sequence[Observation], donors: Sequence[GroupName], name: GroupName) -> str:
    trained = [one for one in own if one.budget > 0]
    if not trained:
        shared = "the same task" if donors[0][1] == name[1] else "other tasks"
        return f"fit of {shared} on {', '.join(dict.fromkeys(f'{d[0]}/{d[1]}' for d in donors))}"
    low, high = min(one.budget for one in trained), max(one.budget for one in trained)
    span = f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
    shares = len({one.sft_share for one in trained})
    return f"fit of {len(trained)} results (budgets {span}, {shares} shares)"


def _reach(model: AllocationModel, group: GroupName, rows: int) -> float:
    low, high = model.measured_budgets(group)
    if high == 0 or rows == 0:
        return 1.0
    return max(1.0, rows / high, low / rows)


def _reach_text(reach: float) -> str:
    if reach <= 1.0:
        return "inside the measured budgets"
    return f"extrapolates {reach:.3g} times beyond the measured budgets"


def _result(
    name: GroupName,
    budget: float,
    share: float,
    draws: FloatArray | None,
    alternatives: tuple[float, ...],
    basis: str,
    source: Source,
    split: Split,
    reach: float,
) -> Recommendation:
    expected = low = high = None
    if draws is not None:
        tail = 100 * (1 - CONFIDENCE) / 2
        expected = float(draws.mean())
        low, high = (float(value) for value in np.percentile(draws, [tail, 100 - tail]))
    return Recommendation(
        base=name[0],
        task=name[1],
        budget=float(Fraction(str(budget))),
        sft_ratio=share,
        expected=expected,
        low=low,
        high=high,
        alternatives=alternatives,
        basis=basis,
        source=source,
        split=split,
        extrapolation=reach,
        method=name[2],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
