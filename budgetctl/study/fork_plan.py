"""The stages of a recipe's `forks` section: trunks and forks now, branches to be filled when forks are published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from budgetctl.data.requests import Lengths, Supply, eval_data, preference_data, sft_data
from budgetctl.errors import UsageError
from budgetctl.forking.entries import parse_triggers
from budgetctl.forking.triggers import Trigger, WatchSettings
from budgetctl.stages.fork import ForkIdentity, ForkStage
from budgetctl.stages.stage import Stage
from budgetctl.stages.trunk import TrunkIdentity, TrunkStage
from budgetctl.study.bases import BaseRequest
from budgetctl.study.branches import branch_stage
from budgetctl.study.budget import exact, split_budget
from budgetctl.study.fork_settings import ForkSettings
from budgetctl.study.lengths import lengths_of
from budgetctl.study.numerals import in_full, short
from budgetctl.study.plan import Branch, PlannedCell
from budgetctl.study.purchase import TOKENS
from budgetctl.study.recipe import Recipe
from budgetctl.study.requests import (
    evaluation_stages,
    pft_stage,
    settings_of,
    sft_settings,
    sft_stage,
)
from budgetctl.study.starts import Start
from budgetctl.tasks import task_named

FORK, SAME_SPLIT, SFT_ONLY = "fork", "same-split", "sft-only"
"""Roles of cells that exist because of forks."""


@dataclass(frozen=True)
class Trunk:
    """One long SFT run and what is static about it.

    Attributes:
        base: Name of the base.
        task: Name of the task.
        budget: The budget that its forks share.
        seed: Of its rows and training.
        rows: Distinct demonstrations that it may see.
        key: Key of its stage.
        stages: Role → key, the trunk's own included.
        triggers: In the recipe's order, `every` and `at` expanded.
    """

    base: str
    task: str
    budget: float
    seed: int
    rows: int
    key: str
    stages: Mapping[str, str]
    triggers: tuple[Trigger, ...]

    @property
    def name(self) -> str:
        """Readable and unique within a recipe."""
        return f"{self.base}/{self.task}/b{short(self.budget)}/seed{self.seed}"


class ForkPlanner:
    """Adds a recipe's trunks, forks and branches to a plan that is being built."""

    def __init__(
        self,
        recipe: Recipe,
        forks: ForkSettings,
        bases: Mapping[str, BaseRequest],
        supplies: Mapping[str, Supply],
        add: Callable[[Stage], str],
    ) -> None:
        self._recipe, self._forks = recipe, forks
        self._bases, self._supplies, self._add = bases, supplies, add

    def trunks(self) -> Iterator[Trunk]:
        """Every trunk of the recipe, its stages added."""
        recipe = self._recipe
        for base, task, budget, seed in product(recipe.bases, recipe.tasks, recipe.budgets, recipe.seeds):
            yield self._trunk(base, task, budget, seed)

    def _trunk(self, base_name: str, task: str, budget: float, seed: int) -> Trunk:
        recipe, forks, base, supply = self._recipe, self._forks, self._bases[base_name], self._supplies[task]
        if recipe.cost.currency == TOKENS:
            raise UsageError(
                "forks need budgets in examples or money: what a fork leaves of a budget in tokens depends on rows "
                "that are not drawn yet"
            )
        spend = budget if forks.sft_budget is None else forks.sft_budget
        if spend > budget:
            raise UsageError(
                f"forks.sft_budget is {in_full(spend)}, more than the budget of {in_full(budget)} that each fork shares"
            )
        rows = split_budget(spend, 1, recipe.prices).n_sft
        if not rows:
            named = "the budget" if forks.sft_budget is None else "forks.sft_budget"
            raise UsageError(
                f"{named} is {in_full(spend)} {recipe.cost.currency}, which buys no demonstration at "
                f"{in_full(recipe.cost.sft)} each, and a trunk trains on nothing else; raise it"
            )
        settings = sft_settings(base, recipe.sft_of(base_name))
        stages = {
            "base": self._add(base.stage),
            "sft-data": self._add(sft_data(supply, rows, seed, lengths=self._lengths(base_name))),
            "dev-data": self._add(eval_data(supply, "dev", forks.dev_size)),
        }
        from budgetctl.training.order import RowOrder  # noqa: PLC0415  (numpy)

        order = RowOrder(rows, settings.epochs, settings.batch_size, seed)
        watch = watch_settings(forks, parse_triggers(forks.triggers, order.examples))
        identity = TrunkIdentity(
            template=base.template,
            settings=settings,
            seed=seed,
            task=task,
            scorer_version=task_named(task).scorer_version,
            watch=watch,
        )
        key = self._add(TrunkStage(identity, base.key, stages["sft-data"], stages["dev-data"]))
        stages["trunk"] = key
        return Trunk(base_name, task, budget, seed, rows, key, stages, watch.triggers)

    def branches(self, trunk: Trunk) -> Iterator[Branch]:
        """What follows each fork of a trunk, for every method."""
        for trigger in trunk.triggers:
            fork = self._add(self._fork(trunk, trigger))
            for method in self._recipe.methods:
                yield self._branch(trunk, trigger, fork, method, FORK)
                if self._forks.baselines == "matched":
                    yield self._branch(trunk, trigger, fork, method, SAME_SPLIT)

    def whole_trunk(self, trunk: Trunk) -> PlannedCell:
        """The trunk's last state, measured: SFT alone on the trunk's own budget."""
        prices = self._recipe.prices
        budget = exact(
            trunk.budget if self._forks.sft_budget is None else self._forks.sft_budget, "the budget"
        )
        cost = trunk.rows * prices.sft
        stages = dict(trunk.stages)
        for role, stage in evaluation_stages(
            self._recipe.evaluation,
            self._bases[trunk.base],
            self._supplies[trunk.task],
            trunk.task,
            trunk.key,
        ):
            stages[role] = self._add(stage)
        axes: dict[str, Any] = {
            "base": trunk.base, "task": trunk.task, "method": None, "budget": float(budget), "share": 1.0,
            "seed": trunk.seed, "n_sft": trunk.rows, "n_pft": 0, "left_over": float(budget - cost),
            "cost": float(cost), "role": SFT_ONLY, "trunk": trunk.key, "fork_budget": trunk.budget,
        }  # fmt: skip
        return PlannedCell(f"{trunk.name}/{SFT_ONLY}", axes, stages)

    def _fork(self, trunk: Trunk, trigger: Trigger) -> ForkStage:
        if self._forks.anneal is None:
            return ForkStage(ForkIdentity(trigger=trigger), trunk.key)
        identity = ForkIdentity(trigger=trigger, anneal=self._forks.anneal)
        return ForkStage(identity, trunk.key, base=trunk.stages["base"], data=trunk.stages["sft-data"])

    def _branch(self, trunk: Trunk, trigger: Trigger, fork: str, method: str, role: str) -> Branch:
        recipe, base, supply = self._recipe, self._bases[trunk.base], self._supplies[trunk.task]
        pairs = preference_data(
            supply,
            1,
            trunk.seed,
            kind="unpaired" if method == "kto" else "pref",
            overlap=recipe.data.overlap,
            n_sft=trunk.rows,
            lengths=self._lengths(trunk.base),
        )
        given = recipe.pft_of(trunk.base, method)
        # A fork before the first step is the base itself.
        start = Start.trained_with(
            "@fork" if role == FORK else "@sft?", sft_settings(base, recipe.sft_of(trunk.base))
        )
        stages = [
            branch_stage("pft-data", pairs, rows="n_pft"),
            branch_stage("pft", pft_stage(base, start, "@pft-data", given, trunk.seed)),
        ]
        if role == SAME_SPLIT:
            rows = sft_data(supply, 1, trunk.seed, lengths=self._lengths(trunk.base))
            trained = sft_stage(base, "@sft-data", recipe.sft_of(trunk.base), trunk.seed)
            stages = [branch_stage("sft-data", rows, rows="n_sft"), branch_stage("sft", trained), *stages]
        evaluation = evaluation_stages(recipe.evaluation, base, supply, trunk.task, f"@pft|{start.key[1:]}")
        before = {**trunk.stages, "fork": fork}
        for name, stage in evaluation:
            if name == "eval-data":
                before[name] = self._add(stage)
            else:
                stages.append(branch_stage(name, stage))
        if role == SAME_SPLIT:
            before = {name: key for name, key in before.items() if name != "sft-data"}
        axes = {
            "base": trunk.base, "task": trunk.task, "method": method, "budget": trunk.budget,
            "seed": trunk.seed, "role": role, "fork": trigger.name, "trunk": trunk.key, "fork_key": fork,
            "price_sft": str(recipe.prices.sft), "price_pft": str(recipe.prices.pft),
        }  # fmt: skip
        name = f"{trunk.base}/{trunk.task}/{method}/b{short(trunk.budget)}/{role}:{trigger.name}/seed{trunk.seed}"
        return Branch(name, axes, fork, before, tuple(stages))

    def _lengths(self, base: str) -> Lengths | None:
        return lengths_of(self._recipe, base, self._bases[base])


def watch_settings(forks: ForkSettings, triggers: tuple[Trigger, ...]) -> WatchSettings:
    """What a trunk watches for.

    Raises:
        UsageError: The settings do not fit each other.
    """
    names = ("every", "level", "samples", "temperature", "max_new_tokens", "strict", "engine", "monitors")
    given = {name: getattr(forks, name) for name in names}
    return settings_of(
        WatchSettings, {**given, "triggers": triggers, "keep_state": forks.anneal is not None}, "forks"
    )
