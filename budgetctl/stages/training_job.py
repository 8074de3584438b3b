"""From a stage's context to a finished training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from budgetctl.engines.kept import close_engines
from budgetctl.models.loading import choose_device
from budgetctl.models.templates import Template
from budgetctl.stages.kept_reference import SharedReference
from budgetctl.stages.kept_tokens import bring_tokens, keep_tokens
from budgetctl.stages.stage import Metric, StageContext
from budgetctl.training.config import PftSettings, SftSettings
from budgetctl.training.job import Annealing, TrainingJob, Watched
from budgetctl.training.run import train
from budgetctl.training.tracking import tracker


def run_training(
    context: StageContext,
    template: Template,
    settings: SftSettings | PftSettings,
    seed: int,
    parent: Path | None,
    data: Path,
    watched: Watched | None = None,
    annealing: Annealing | None = None,
) -> Mapping[str, Metric]:
    """Train in the stage's draft, as its execution says."""
    execution, payload = context.execution, context.draft.payload
    untokenised = bring_tokens(context, template, data)
    reference = None
    if isinstance(settings, PftSettings) and settings.has_reference:
        reference = SharedReference.of(context, template, settings, seed, data)
    config = {
        "key": payload.key,
        "parents": dict(payload.parents),
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        **execution.study,
    }
    name, group = f"{payload.stage}-{payload.key[:12]}", execution.study.get("plan")
    with tracker(execution.track, name, config, context.reporter, group, context.keep) as track:
        job = TrainingJob(
            base=context.parents["base"].path(),
            parent=parent,
            data=data,
            template=template,
            seed=seed,
            out=context.draft.files,
            scratch=context.draft.scratch,
            device=execution.device,
            micro_batch=execution.micro_batch,
            checkpoint_every_s=execution.checkpoint_every_s,
            threads=execution.threads,
            reporter=context.reporter,
            should_stop=context.should_stop,
            processes=execution.processes,
            shard=execution.shard,
            track=track,
            references=() if reference is None else reference.known,
            reference_in_memory=not execution.keep_reference,
            watched=watched,
            annealing=annealing,
            keep=context.keep,
        )
        if choose_device(execution.device).type == "cuda":
            close_engines(context.keep)  # an engine takes all the memory it finds
        metrics = train(job, settings)
    keep_tokens(context, untokenised)
    if reference is not None and execution.keep_reference:
        reference.keep(context)
    return metrics
