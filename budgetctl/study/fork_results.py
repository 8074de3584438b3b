"""What a plan's trunks, forks and their baselines have come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from budgetctl.study.branches import grown_in
from budgetctl.study.fork_plan import FORK, SAME_SPLIT, SFT_ONLY
from budgetctl.study.plan import Branch, Plan, PlannedCell
from budgetctl.study.results import measured, why_missing
from budgetctl.study.state import PlanState, StageState, state_of
from store import Store

if TYPE_CHECKING:
    from budgetctl.analysis.forks import BaselineRow, ForkResults, ForkRow, TrunkCurve

PLACE = ("base", "task", "budget", "seed")


def fork_results(plan: Plan, store: Store) -> ForkResults:
    """Every fork of the plan with what it led to, or with the reason why that is not known.

    Args:
        plan: A study with forks; it need not have grown yet.
        store: Where its artifacts are.
    """
    from budgetctl.analysis.forks import ForkResults  # noqa: PLC0415

    reader = _Reader(grown_in(plan, store), store)
    currency = str(plan.recipe.get("cost", {}).get("currency", "examples"))
    return ForkResults(
        tuple(reader.forks()), tuple(reader.trunks()), tuple(reader.baselines()), currency=currency
    )


class _Reader:
    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._state: PlanState = state_of(plan, store)
        self._cells = {cell.name: cell for cell in plan.cells}

    def forks(self) -> Iterator[ForkRow]:
        for branch in self._plan.branches:
            if branch.axes["role"] == FORK:
                yield self._fork(branch)

    def _fork(self, branch: Branch) -> ForkRow:
        from budgetctl.analysis.cells import CellStatus  # noqa: PLC0415
        from budgetctl.analysis.forks import ForkRow  # noqa: PLC0415

        where: dict[str, Any] = {name: branch.axes[name] for name in (*PLACE, "method")}
        facts = self._facts(branch.fork)
        if facts is None:
            status, reason = self._not_there(branch)
            nothing: dict[str, Any] = dict.fromkeys(
                ("step", "examples", "distinct", "epoch", "metric", "value", "low", "high"), None
            )
            return ForkRow(
                **where, **nothing, **_no_score(status, reason), trigger=branch.axes["fork"], same_as="",
                fired=False, n_pft=None, remaining=None,
            )  # fmt: skip
        seen: dict[str, Any] = {name: facts.get(name) for name in ("metric", "value", "low", "high")}
        fired = bool(facts["fired"])
        places: dict[str, Any] = {
            n: facts.get(n) if fired else None for n in ("step", "examples", "distinct", "epoch")
        }
        cell = self._cells.get(branch.name)
        if not fired:
            outcome = _no_score(CellStatus.IMPOSSIBLE, "did not fire")
        elif cell is None:
            outcome = _no_score(CellStatus.IMPOSSIBLE, "it has used more than the budget")
        else:
            outcome = self._outcome(cell)
        budget, price = (Fraction(str(branch.axes[name])) for name in ("budget", "price_sft"))
        return ForkRow(
            **where, **places, **seen, **outcome, trigger=branch.axes["fork"],
            same_as=str(facts.get("same_as") or ""), fired=fired,
            n_pft=int(cell.axes["n_pft"]) if cell is not None else None,
            remaining=float(budget - int(facts["distinct"]) * price) if fired else None,
        )  # fmt: skip

    def trunks(self) -> Iterator[TrunkCurve]:
        from budgetctl.analysis.forks import TrunkCurve  # noqa: PLC0415
        from budgetctl.forking.records import MONITOR_FILE, read_monitor  # noqa: PLC0415

        # budgets that share an `sft_budget` share their trunks, and each of them has its own place
        places = {
            tuple(branch.axes[name] for name in PLACE): branch.axes["trunk"] for branch in self._plan.branches
        }
        for place, key in places.items():
            points = read_monitor(self._store.artifact(key).path(MONITOR_FILE)) if self._there(key) else ()
            yield TrunkCurve(**dict(zip(PLACE, place, strict=True)), points=tuple(points))

    def baselines(self) -> Iterator[BaselineRow]:
        places = {tuple(branch.axes[name] for name in PLACE) for branch in self._plan.branches}
        for cell in self._plan.cells:
            role, axes = cell.axes.get("role"), cell.axes
            place = {name: axes[name] for name in PLACE}
            if role == SFT_ONLY:
                yield self._baseline(cell, "sft-only", place | {"budget": axes["fork_budget"]}, None)
            elif role == SAME_SPLIT and not self._shares_branch(axes):
                yield self._baseline(cell, "same-split", place, axes["method"], axes["fork"])
            elif role is None and tuple(place.values()) in places and axes["share"] in (0, 1):
                if axes["share"] == 0:
                    yield self._baseline(cell, "pft-only", place, axes["method"])
                else:
                    yield self._baseline(cell, "sft-only", place, None)

    def _shares_branch(self, axes: Mapping[str, Any]) -> bool:
        facts = self._facts(axes["fork_key"])
        return facts is not None and bool(facts.get("same_as"))

    def _baseline(
        self,
        cell: PlannedCell,
        kind: Any,
        place: Mapping[str, Any],
        method: str | None,
        trigger: str | None = None,
    ) -> BaselineRow:
        from budgetctl.analysis.forks import BaselineRow  # noqa: PLC0415

        return BaselineRow(
            kind=kind, **place, method=method, trigger=trigger, n_sft=cell.axes["n_sft"],
            n_pft=cell.axes["n_pft"], **self._outcome(cell),
        )  # fmt: skip

    def _outcome(self, cell: PlannedCell) -> dict[str, Any]:
        """Score, interval and status of a cell."""
        from budgetctl.analysis.cells import CellStatus  # noqa: PLC0415
        from budgetctl.scoring.intervals import wilson  # noqa: PLC0415

        if not self._there(cell.result):
            status, reason = why_missing(cell, self._state)
            return {**_no_score(CellStatus(status), reason), "key": cell.result}
        found = measured(self._store.artifact(cell.result), with_verdicts=True)
        around = wilson(found["score"] * found["n_items"], found["n_items"])
        return {
            "score": found["score"], "score_low": around.low, "score_high": around.high, "n_items": found["n_items"],
            "status": CellStatus.DONE, "reason": "", "key": cell.result, "verdicts": found["verdicts"],
        }  # fmt: skip

    def _not_there(self, branch: Branch) -> tuple[Any, str]:
        """Status and reason of a fork that is not published."""
        from budgetctl.analysis.cells import CellStatus  # noqa: PLC0415

        stages = {role: key for role, key in branch.before.items() if role in ("trunk", "fork")}
        status, reason = why_missing(PlannedCell(branch.name, branch.axes, stages), self._state)
        return CellStatus(status), reason

    def _facts(self, fork: str) -> Mapping[str, Any] | None:
        return self._store.artifact(fork).metrics if self._there(fork) else None

    def _there(self, key: str) -> bool:
        return self._state.stages.get(key) is StageState.HIT


def _no_score(status: Any, reason: str) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(("score", "score_low", "score_high", "n_items", "key"), None)
    return {**nothing, "status": status, "reason": reason}
