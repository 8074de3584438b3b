"""From names and settings to the training, generation and evaluation stages that they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from budgetctl.data.requests import Supply, eval_data
from budgetctl.engines.protocol import Decoding
from budgetctl.errors import UsageError
from budgetctl.models.checkpoints import training_of
from budgetctl.schema import Frozen, describe_problems
from budgetctl.stages.answering import EngineName
from budgetctl.stages.eval import EvalIdentity, EvalStage
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.perplexity import PerplexityIdentity, PerplexityStage
from budgetctl.stages.pft import PftIdentity, PftStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Stage, payload_of
from budgetctl.study.bases import BaseRequest, FoundBase
from budgetctl.study.recipe import EvalSettings
from budgetctl.tasks import task_named
from budgetctl.training.config import PftSettings, SftSettings
from store import Artifact, Store

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


def sft_settings(base: FoundBase | BaseRequest, given: Mapping[str, Any]) -> SftSettings:
    """Settings of supervised finetuning on a base.

    Raises:
        UsageError: A setting is unknown or out of range.
    """
    return settings_of(SftSettings, {"precision": base.precision, **given}, "sft")


def sft_stage(base: FoundBase | BaseRequest, data: str, given: Mapping[str, Any], seed: int) -> SftStage:
    """Supervised finetuning of a base on rows.

    Raises:
        UsageError: A setting is unknown or out of range.
    """
    identity = SftIdentity(template=base.template, settings=sft_settings(base, given), seed=seed)
    return SftStage(identity, base.key, data)


def pft_stage(
    base: FoundBase | BaseRequest, policy: str | None, data: str, given: Mapping[str, Any], seed: int
) -> PftStage:
    """Preference finetuning of a checkpoint (or of the base) on pairs.

    Raises:
        UsageError: A setting is unknown or out of range.
    """
    settings = settings_of(PftSettings, {"precision": base.precision, **given}, "pft")
    return PftStage(PftIdentity(template=base.template, settings=settings, seed=seed), base.key, data, policy)


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
    engine: EngineName = "transformers",
) -> GenStage:
    """Answers of a checkpoint (or of the bare base) to evaluation prompts.

    Raises:
        UsageError: There is no such way of decoding.
    """
    longest = max_new_tokens or task_named(task).max_new_tokens
    identity = GenIdentity(
        template=base.template,
        decoding=Decoding.preset(decoding, longest, samples, seed),
        engine=engine,
        precision=base.precision,
    )
    return GenStage(identity, base.key, prompts, checkpoint)


def eval_stage(generations: Artifact, store: Store, pass_at: tuple[int, ...] = ()) -> EvalStage:
    """Score generations with the current scorer of their prompts' task.

    Args:
        generations: A generation's artifact.
        store: Where its prompts are.
        pass_at: The k of pass@k.

    Raises:
        UsageError: A k is larger than the number of answers per prompt.
    """
    prompts = store.artifact(generations.parents["prompts"])
    task = str(prompts.identity["task"])
    samples = int(generations.identity["decoding"]["samples"])
    if max(pass_at, default=0) > samples:
        raise UsageError(
            f"pass@{max(pass_at)} needs at least {max(pass_at)} answers a prompt, and generation "
            f"{generations.key[:12]} has {samples}; generate more (--samples), or lower k"
        )
    scorer = scorer_of(task, pass_at)
    return EvalStage(scorer, generations.key, prompts.key)


def scorer_of(task: str, pass_at: tuple[int, ...] = ()) -> EvalIdentity:
    """The current scorer of a task."""
    return EvalIdentity(task=task, scorer_version=task_named(task).scorer_version, pass_at=pass_at)


def perplexity_stage(
    base: FoundBase | BaseRequest,
    checkpoint: str | None,
    prompts: str,
    generation: str | None = None,
    engine: EngineName = "transformers",
) -> PerplexityStage:
    """How likely a checkpoint (or the bare base) finds gold answers, or the answers of a generation."""
    identity = PerplexityIdentity(
        template=base.template,
        answers="gold" if generation is None else "generated",
        engine=engine,
        precision=base.precision,
    )
    return PerplexityStage(identity, base.key, prompts, checkpoint, generation)


def task_of(checkpoint: str | None, store: Store, option: str = "--task") -> str:
    """The task whose rows a checkpoint was trained on.

    Args:
        checkpoint: Its key; None for a bare base.
        store: Where it is.
        option: How the command line names a task, for the message.

    Raises:
        UsageError: It was trained on nothing (a bare base).
    """
    if checkpoint is None:
        raise UsageError(f"a base model has no task of its own; say {option} arith (or another)")
    training = training_of(store.artifact(checkpoint), store)
    return str(store.artifact(training.parents["data"]).identity["task"])


def evaluation_stages(
    wanted: EvalSettings, base: BaseRequest, supply: Supply, task: str, checkpoint: str | None
) -> list[tuple[str, Stage]]:
    """The stages that measure a checkpoint (or the bare base), with their roles, parents before children.

    Args:
        wanted: What to measure, on which rows.
        base: The base model.
        supply: The task's sources.
        task: Name of the task.
        checkpoint: Its key, or `@role` in a branch, where the keys of these stages are not known yet.

    Raises:
        UsageError: There is no such way of decoding, or a k of pass@k is larger than the number of answers.
    """
    prompts = eval_data(supply, wanted.split, wanted.size)
    asked = payload_of(prompts).key
    gen = gen_stage(
        base, checkpoint, asked, task,
        decoding=wanted.decoding, samples=wanted.samples, max_new_tokens=wanted.max_new_tokens, engine=wanted.engine,
    )  # fmt: skip
    if max(wanted.pass_at, default=0) > gen.identity.decoding.samples:
        raise UsageError(
            f"eval.pass_at: pass@{max(wanted.pass_at)} needs at least as many answers a prompt, and eval.samples is "
            f"{gen.identity.decoding.samples}"
        )
    known = checkpoint is None or not checkpoint.startswith("@")
    scored = EvalStage(scorer_of(task, wanted.pass_at), payload_of(gen).key if known else "@gen", asked)
    return [("eval-data", prompts), ("gen", gen), ("eval", scored)]
