"""From a recipe to its plan: each cell's stages, with all their keys, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal

from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.data.requests import preference_data, sft_data
from budgetctl.stages.stage import Stage, payload_of
from budgetctl.study.bases import base_request
from budgetctl.study.branches import grown_in
from budgetctl.study.cells import Cell, cells_of
from budgetctl.study.lengths import lengths_of
from budgetctl.study.plan import Branch, Plan, PlannedCell
from budgetctl.study.purchase import Purchase
from budgetctl.study.recipe import Recipe
from budgetctl.study.requests import evaluation_stages, pft_stage, sft_settings, sft_stage
from budgetctl.study.starts import Start
from budgetctl.study.supply_check import require_rows
from budgetctl.study.trainings_check import check_engines, check_recipe
from store import Payload, Store


class _StudyPlanner:
    """Collects the stages of all cells, each distinct one once."""

    def __init__(self, recipe: Recipe, store: Store) -> None:
        check_recipe(recipe)  # before a base, which may take long to hash or to fetch
        self._recipe = recipe
        self._stages: dict[str, Payload] = {}
        self._shared: dict[Hashable, str] = {}
        self._bases = {name: base_request(name, store, recipe.base_settings) for name in recipe.bases}
        self._sft = {name: sft_settings(base, recipe.sft_of(name)) for name, base in self._bases.items()}
        self._supplies = recipe.data.supplies(recipe.tasks, FrozenRevisions(store.root))
        places = [base.located for base in self._bases.values()]
        places += [supply.located for supply in self._supplies.values()]
        self._sources = {digest: str(path) for place in places for digest, path in place.items()}

    def plan(self) -> Plan:
        cells = [self._baseline(base, task) for base in self._recipe.bases for task in self._recipe.tasks]
        cells += [self._cell(cell, bought) for cell, bought in cells_of(self._recipe)]
        branches = self._forks(cells) if self._recipe.forks is not None else []
        recipe = self._recipe.model_dump(mode="json", by_alias=True)
        plan = Plan(self._recipe.name, recipe, tuple(cells), self._stages, self._sources, tuple(branches))
        check_engines(plan, self._recipe, self._bases)
        return plan

    def _forks(self, cells: list[PlannedCell]) -> list[Branch]:
        """Add trunks, forks and the baselines that are known already; return what waits for the forks."""
        from budgetctl.study.fork_plan import ForkPlanner  # noqa: PLC0415

        recipe = self._recipe
        assert recipe.forks is not None
        planner = ForkPlanner(recipe, recipe.forks, self._bases, self._supplies, self._add)
        branches: list[Branch] = []
        for trunk in planner.trunks():
            branches += planner.branches(trunk)
            cells.append(planner.whole_trunk(trunk))
        if recipe.forks.baselines == "matched":
            # a trunk that may spend the whole budget is the SFT-only run itself
            shares = (0.0,) if recipe.forks.sft_budget is None else (1.0, 0.0)
            arms = recipe.model_copy(update={"shares": shares})
            there = {cell.name for cell in cells}
            cells += [self._cell(cell, bought) for cell, bought in cells_of(arms) if cell.name not in there]
        return branches

    def _add(self, stage: Stage) -> str:
        payload = payload_of(stage)
        return self._stages.setdefault(payload.key, payload).key

    def _once(self, name: Hashable, make: Callable[[], Stage]) -> str:
        """As `_add`, of a stage that many cells share; `name` holds all that tells it from others of the study."""
        if name not in self._shared:
            self._shared[name] = self._add(make())
        return self._shared[name]

    def _baseline(self, base: str, task: str) -> PlannedCell:
        """The untrained base, shown beside every row of its table."""
        stages = {"base": self._add(self._bases[base].stage)}
        stages |= self._evaluation(base, task, None)
        axes: dict[str, Any] = {
            "base": base,
            "task": task,
            "method": None,
            "budget": 0.0,
            "share": 0.0,
            "seed": 0,
        }
        axes |= {"n_sft": 0, "n_pft": 0, "left_over": 0.0, "cost": 0.0}
        return PlannedCell(f"{base}/{task}/base", axes, stages)

    def _cell(self, cell: Cell, bought: Purchase) -> PlannedCell:
        recipe, base, supply = self._recipe, self._bases[cell.base], self._supplies[cell.task]
        stages = {"base": self._once(cell.base, lambda: base.stage)}
        lengths = lengths_of(recipe, cell.base, base, counted=bought.in_tokens)
        start = None
        if n_sft := bought.sft:
            data = self._once(
                ("sft-data", cell.task, n_sft, cell.seed, lengths),
                lambda: sft_data(supply, n_sft, cell.seed, lengths=lengths),
            )
            stages["sft-data"] = data
            stages["sft"] = self._once(
                ("sft", cell.base, data, cell.seed),
                lambda: sft_stage(base, data, recipe.sft_of(cell.base), cell.seed),
            )
            start = Start.trained_with(stages["sft"], self._sft[cell.base])
        if n_pft := bought.pft:
            kind: Literal["pref", "unpaired"] = "unpaired" if cell.method == "kto" else "pref"
            stages["pft-data"] = self._once(
                ("pft-data", cell.task, n_pft, bought.sft, cell.seed, kind, lengths),
                lambda: preference_data(
                    supply,
                    n_pft,
                    cell.seed,
                    kind=kind,
                    overlap=recipe.data.overlap,
                    n_sft=bought.sft,
                    lengths=lengths,
                ),
            )
            given = recipe.pft_of(cell.base, cell.method)
            stages["pft"] = self._add(pft_stage(base, start, stages["pft-data"], given, cell.seed))
        stages |= self._evaluation(cell.base, cell.task, stages.get("pft") or stages.get("sft"))
        axes = {
            "base": cell.base,
            "task": cell.task,
            "method": cell.method,
            "budget": cell.budget,
            "share": cell.share,
            "seed": cell.seed,
            **bought.axes,
        }
        return PlannedCell(cell.name, axes, stages)

    def _evaluation(self, base: str, task: str, checkpoint: str | None) -> dict[str, str]:
        stages = evaluation_stages(
            self._recipe.evaluation, self._bases[base], self._supplies[task], task, checkpoint
        )
        return {role: self._add(stage) for role, stage in stages}


def plan_study(
    recipe: Recipe, store: Store, check: bool = True, warn: Callable[[str], None] = lambda _: None
) -> Plan:
    """Expand a recipe, as far as it is known today: branches of forks that this store does not hold are left out.

    Args:
        recipe: The study.
        store: What is known of bases, hub datasets and forks.
        check: Refuse cells and forks whose rows cannot be had.
        warn: Is told of each fork whose rows may not be had.

    Raises:
        UsageError: A task, base or setting is unknown, a local source is missing, or a cell or a fork needs more rows
            than there are.
    """
    plan = _StudyPlanner(recipe, store).plan()
    if check:
        for sentence in require_rows(plan, store):
            warn(sentence)
    return plan if not plan.branches else grown_in(plan, store)
