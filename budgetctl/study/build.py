"""From a recipe to its plan: each cell's stages, with all their keys, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.data.requests import Lengths, eval_data, preference_data, sft_data, supply_of
from budgetctl.engines.protocol import Decoding
from budgetctl.errors import UsageError
from budgetctl.schema import Frozen, describe_problems
from budgetctl.stages.eval import EvalIdentity, EvalStage
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.pft import PftIdentity, PftStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Stage, payload_of
from budgetctl.study.bases import BaseRequest, FoundBase, base_request
from budgetctl.study.budget import Split
from budgetctl.study.cells import Cell, cells_of
from budgetctl.study.plan import Plan, PlannedCell
from budgetctl.study.recipe import Recipe
from budgetctl.study.supply_check import require_rows
from budgetctl.tasks import task_named
from budgetctl.training.config import PftSettings, SftSettings
from store import Artifact, Payload, Store

S = TypeVar("S", bound=Frozen)


def settings_of(model: type[S], given: Mapping[str, Any], where: str) -> S:
    """Validate settings of a stage.

    Raises:
        UsageError: With one sentence per problem.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise UsageError(describe_problems(error, model, where)) from error


def sft_stage(base: FoundBase | BaseRequest, data: str, given: Mapping[str, Any], seed: int) -> SftStage:
    """Supervised finetuning of a base on rows.

    Raises:
        UsageError: A setting is unknown or out of range.
    """
    settings = settings_of(SftSettings, {"precision": base.precision, **given}, "sft")
    return SftStage(SftIdentity(template=base.template, settings=settings, seed=seed), base.key, data)


def pft_stage(
    base: FoundBase | BaseRequest, policy: str | None, data: str, given: Mapping[str, Any], seed: int
) -> PftStage:
    """Preference finetuning of a checkpoint (or of the base) on pairs.

    Raises:
        UsageError: A setting is unknown or out of range.
    """
    settings = settings_of(PftSettings, {"precision": base.precision, **given}, "pft")
    return PftStage(PftIdentity(template=base.template, settings=settings, seed=seed), base.key, data, policy)


class _StudyPlanner:
    """Collects the stages of all cells, each distinct one once."""

    def __init__(self, recipe: Recipe, store: Store) -> None:
        self._recipe = recipe
        self._stages: dict[str, Payload] = {}
        self._bases = {name: base_request(name, store, recipe.base_settings) for name in recipe.bases}
        revisions = FrozenRevisions(store.root)
        self._supplies = {
            task: supply_of(task, recipe.data.path, recipe.data.options, revisions) for task in recipe.tasks
        }
        places = [base.located for base in self._bases.values()]
        places += [supply.located for supply in self._supplies.values()]
        self._sources = {digest: str(path) for place in places for digest, path in place.items()}

    def plan(self) -> Plan:
        cells = [self._baseline(base, task) for base in self._recipe.bases for task in self._recipe.tasks]
        cells += [self._cell(cell, split) for cell, split in cells_of(self._recipe)]
        recipe = self._recipe.model_dump(mode="json", by_alias=True)
        return Plan(self._recipe.name, recipe, tuple(cells), self._stages, self._sources)

    def _add(self, stage: Stage) -> str:
        payload = payload_of(stage)
        return self._stages.setdefault(payload.key, payload).key

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

    def _cell(self, cell: Cell, split: Split) -> PlannedCell:
        recipe, base, supply = self._recipe, self._bases[cell.base], self._supplies[cell.task]
        stages = {"base": self._add(base.stage)}
        most = recipe.data.max_tokens
        lengths = None if most is None else Lengths(base.key, base.template, most)
        if split.n_sft:
            stages["sft-data"] = self._add(sft_data(supply, split.n_sft, cell.seed, lengths=lengths))
            stages["sft"] = self._add(sft_stage(base, stages["sft-data"], recipe.sft, cell.seed))
        if split.n_pft:
            pairs = preference_data(
                supply,
                split.n_pft,
                cell.seed,
                kind="unpaired" if cell.method == "kto" else "pref",
                overlap=recipe.data.overlap,
                n_sft=split.n_sft,
                lengths=lengths,
            )
            stages["pft-data"] = self._add(pairs)
            given = {**recipe.pft, "method": cell.method}
            stages["pft"] = self._add(
                pft_stage(base, stages.get("sft"), stages["pft-data"], given, cell.seed)
            )
        stages |= self._evaluation(cell.base, cell.task, stages.get("pft") or stages.get("sft"))
        spent = split.n_sft * recipe.prices.sft + split.n_pft * recipe.prices.pft
        axes = {
            "base": cell.base,
            "task": cell.task,
            "method": cell.method,
            "budget": cell.budget,
            "share": cell.share,
            "seed": cell.seed,
            "n_sft": split.n_sft,
            "n_pft": split.n_pft,
            "left_over": float(split.left_over),
            "cost": float(spent),
        }
        return PlannedCell(cell.name, axes, stages)

    def _evaluation(self, base: str, task: str, checkpoint: str | None) -> dict[str, str]:
        wanted = self._recipe.evaluation
        prompts = self._add(eval_data(self._supplies[task], wanted.split, wanted.size))
        generation = gen_stage(
            self._bases[base], checkpoint, prompts, task,
            decoding=wanted.decoding, max_new_tokens=wanted.max_new_tokens,
        )  # fmt: skip
        gen = self._add(generation)
        scored = EvalStage(
            EvalIdentity(task=task, scorer_version=task_named(task).scorer_version), gen, prompts
        )
        return {"eval-data": prompts, "gen": gen, "eval": self._add(scored)}


def plan_study(recipe: Recipe, store: Store) -> Plan:
    """Expand a recipe.

    Raises:
        UsageError: A task, base or setting is unknown, a local source is missing, or a cell needs more rows than
            there are.
    """
    plan = _StudyPlanner(recipe, store).plan()
    require_rows(plan, store)
    return plan


def gen_stage(
    base: FoundBase | BaseRequest,
    checkpoint: str | None,
    prompts: str,
    task: str,
    *,
    decoding: str = "greedy",
    samples: int = 1,
    max_new_tokens: int | None = None,
    seed: int = 0,
) -> GenStage:
    """Answers of a checkpoint (or of the bare base) to evaluation prompts.

    Raises:
        UsageError: There is no such way of decoding.
    """
    longest = max_new_tokens or task_named(task).max_new_tokens
    identity = GenIdentity(
        template=base.template,
        decoding=Decoding.preset(decoding, longest, samples, seed),
        precision=base.precision,
    )
    return GenStage(identity, base.key, prompts, checkpoint)


def eval_stage(generations: Artifact, store: Store) -> EvalStage:
    """Score generations with the current scorer of their prompts' task."""
    prompts = store.artifact(generations.parents["prompts"])
    task = str(prompts.identity["task"])
    identity = EvalIdentity(task=task, scorer_version=task_named(task).scorer_version)
    return EvalStage(identity, generations.key, prompts.key)


def task_of(checkpoint: str | None, store: Store) -> str:
    """The task whose rows a checkpoint was trained on.

    Raises:
        UsageError: It was trained on nothing (a bare base).
    """
    if checkpoint is None:
        raise UsageError("a base model has no task of its own; say --task arith (or another)")
    return str(store.artifact(store.artifact(checkpoint).parents["data"]).identity["task"])
