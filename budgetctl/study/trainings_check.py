"""What can be said against a study's trainings before anything runs, in the sentences that the trainings would use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from budgetctl.errors import UsageError
from budgetctl.study.bases import BaseRequest
from budgetctl.study.plan import BranchStage, Plan
from budgetctl.study.recipe import Recipe
from budgetctl.study.requests import check_settings
from budgetctl.training.config import PftSettings, SftSettings, TrainingSettings
from budgetctl.training.layout import check_layout
from store import Payload

TRAININGS: Mapping[str, type[TrainingSettings]] = {
    "sft": SftSettings,
    "trunk": SftSettings,
    "pft": PftSettings,
}
VOCABULARY = ("embed_tokens", "lm_head")
FAMILIES_WITHOUT_VOCABULARY = ("qwen2",)
"""Architectures for which vLLM (0.32) serves no adapters on the vocabulary, among those of known models."""


def check_recipe(recipe: Recipe) -> None:
    """Refuse settings of trainings that are not valid, before a base is hashed or fetched.

    Raises:
        UsageError: With one sentence per problem.
    """
    for base in recipe.bases:
        check_settings(SftSettings, recipe.sft_of(base), "sft")
        for method in recipe.methods:
            check_settings(PftSettings, recipe.pft_of(base, method), "pft")


def check_engines(plan: Plan, recipe: Recipe, bases: Mapping[str, BaseRequest]) -> None:
    """Refuse adapters that the engine of a study cannot serve.

    Args:
        plan: The study's stages.
        recipe: Says which engines answer.
        bases: Name in the study → base.

    Raises:
        UsageError: vLLM is to serve adapters on the vocabulary of a family for which it cannot.
    """
    engines = {recipe.evaluation.engine, *([recipe.forks.engine] if recipe.forks is not None else [])}
    names = {
        base.key: f"{name} ({base.family})"
        for name, base in bases.items()
        if "vllm" in engines and base.family in FAMILIES_WITHOUT_VOCABULARY
    }
    for training in _trainings(plan) if names else ():
        settings = TRAININGS[training.stage].model_validate(training.identity["settings"])
        adapted = (
            {*settings.lora.targets, *settings.lora.extra_targets} if settings.weights != "full" else set()
        )
        found = [name for name in VOCABULARY if name in adapted]
        if found and training.parents["base"] in names:
            raise UsageError(
                f"engine: vllm serves no adapters on {' and '.join(found)} for {names[training.parents['base']]}; use "
                "engine: transformers, or leave them out of lora.extra_targets"
            )


def check_processes(plan: Plan, published: Mapping[str, bool], processes: int, shard: bool) -> None:
    """Refuse to spread trainings over processes that cannot be; what is published needs no look.

    Args:
        plan: The study.
        published: Key → whether its artifact is there.
        processes: Of each training.
        shard: Whether weights are spread over them.

    Raises:
        UsageError: With the first training that cannot.
    """
    seen = set()
    for training in _trainings(plan, published):
        given = training.identity["settings"]
        kind = (training.stage, *(given.get(name) for name in ("batch_size", "method", "weights", "backend")))
        if kind not in seen:
            seen.add(kind)
            settings = TRAININGS[training.stage].model_validate(given)
            check_layout(settings, processes, shard, needs_whole_model=training.stage == "trunk")


def _trainings(plan: Plan, published: Mapping[str, bool] | None = None) -> Iterator[Payload | BranchStage]:
    """The trainings of a plan and of its branches, less those that are published."""
    there = published or {}
    yield from (
        payload
        for key, payload in plan.stages.items()
        if payload.stage in TRAININGS and not there.get(key, False)
    )
    yield from (step for branch in plan.branches for step in branch.stages if step.stage in TRAININGS)
