"""Forks of training runs: what a report needs to know of them.

`budgetctl.study.fork_results` fills these from a plan and a store; nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from budgetctl.analysis.cells import CellStatus, Verdicts
from budgetctl.forking.records import MonitorRow

BaselineKind = Literal["sft-only", "same-split", "pft-only"]
Place = tuple[str, str, float, int]


@dataclass(frozen=True, slots=True)
class ForkRow:
    """One trigger of one trunk, and one method's branch from it.

    Attributes:
        method: Of the preference finetuning that follows.
        budget: Of the fork as a whole, in examples or money.
        trigger: Its name.
        same_as: Name of the trigger that saved the same state and whose branch it shares; empty for that one itself.
        fired: Whether it did; if not, `metric` to `high` are the best values seen and there is no score.
        step: Optimizer steps at the fork.
        examples: Rows that the trunk had processed.
        distinct: Different rows among them, those of annealing included; what the fork has paid for.
        metric: What the trigger was decided on; None for a count of examples.
        value: Its estimate, with `low` and `high` its 95 % interval on the dev rows.
        n_pft: Preference rows of the branch.
        remaining: What is left of the budget at the fork, in the budget's unit.
        score: Final score of the branch on the test rows, with `score_low` and `score_high` its 95 % interval.
        n_items: Test items behind the score.
        status: `done` has a score; a trigger that did not fire is `impossible`.
        reason: For a fork without a score, one sentence on why.
        key: Key of the evaluation.
        verdicts: The single test items' results, so that a fork and a baseline are compared item by item.
    """

    base: str
    task: str
    method: str
    seed: int
    budget: float
    trigger: str
    same_as: str
    fired: bool
    step: int | None
    examples: int | None
    distinct: int | None
    epoch: float | None
    metric: str | None
    value: float | None
    low: float | None
    high: float | None
    n_pft: int | None
    remaining: float | None
    score: float | None
    score_low: float | None
    score_high: float | None
    n_items: int | None
    status: CellStatus
    reason: str = ""
    key: str | None = None
    verdicts: Verdicts | None = field(default=None, repr=False, compare=False)

    @property
    def place(self) -> Place:
        """The trunk it belongs to."""
        return self.base, self.task, self.budget, self.seed

    @property
    def did_not_fire(self) -> bool:
        """Whether its trunk has run without it; false while that is still to come."""
        return not self.fired and self.status is CellStatus.IMPOSSIBLE

    @property
    def decided(self) -> bool:
        """Whether its trunk has run."""
        return self.fired or self.did_not_fire

    @property
    def counts_examples(self) -> bool:
        """Whether its trigger is a mere count of examples."""
        return self.trigger.startswith("examples=")


@dataclass(frozen=True, slots=True)
class TrunkCurve:
    """The evaluations of one trunk.

    Attributes:
        points: In the order of steps, one per evaluation and metric; empty while the trunk is not published.
    """

    base: str
    task: str
    seed: int
    budget: float
    points: Sequence[MonitorRow] = field(default=(), repr=False)

    @property
    def place(self) -> Place:
        """What its forks carry as their place."""
        return self.base, self.task, self.budget, self.seed


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """A static run to compare forks with.

    Attributes:
        kind: `sft-only` is the trunk's own end, `same-split` trains a fork's split from scratch, `pft-only` spends
            everything on preference rows.
        trigger: The fork whose split it repeats; None for the other kinds.
        method: None for `sft-only`.
    """

    kind: BaselineKind
    base: str
    task: str
    method: str | None
    seed: int
    budget: float
    trigger: str | None
    n_sft: int | None
    n_pft: int | None
    score: float | None
    score_low: float | None
    score_high: float | None
    n_items: int | None
    status: CellStatus
    reason: str = ""
    key: str | None = None
    verdicts: Verdicts | None = field(default=None, repr=False, compare=False)

    @property
    def place(self) -> Place:
        """The trunk whose forks it is compared with."""
        return self.base, self.task, self.budget, self.seed


@dataclass(frozen=True, slots=True)
class ForkResults:
    """A study's forks, trunks and baselines, in the recipe's order.

    Attributes:
        currency: Unit of budgets: `examples`, or the name of the money.
    """

    rows: Sequence[ForkRow] = ()
    trunks: Sequence[TrunkCurve] = ()
    baselines: Sequence[BaselineRow] = ()
    currency: str = "examples"
