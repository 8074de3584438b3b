"""From a stage's context to a training job."""

from __future__ import annotations

from pathlib import Path

from budgetctl.models.templates import Template
from budgetctl.stages.stage import StageContext
from budgetctl.training.job import TrainingJob


def job_of(
    context: StageContext, template: Template, seed: int, parent: Path | None, data: Path
) -> TrainingJob:
    """Say where a training's files lie and how it is run."""
    execution = context.execution
    return TrainingJob(
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
    )
