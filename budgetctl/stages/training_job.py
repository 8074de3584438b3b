"""From a stage's context to a finished training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from budgetctl.models.templates import Template
from budgetctl.stages.stage import Metric, StageContext
from budgetctl.training.config import PftSettings, SftSettings
from budgetctl.training.job import TrainingJob
from budgetctl.training.run import train
from budgetctl.training.tracking import tracker


def run_training(
    context: StageContext,
    template: Template,
    settings: SftSettings | PftSettings,
    seed: int,
    parent: Path | None,
    data: Path,
) -> Mapping[str, Metric]:
    """Train in the stage's draft, as its execution says."""
    execution, payload = context.execution, context.draft.payload
    config = {
        "key": payload.key,
        "parents": dict(payload.parents),
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
    }
    with tracker(execution.track, f"{payload.stage}-{payload.key[:12]}", config, context.reporter) as track:
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
            track=track,
        )
        return train(job, settings)
