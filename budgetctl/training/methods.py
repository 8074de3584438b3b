"""Each method's rows, arguments, trainer and first check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from budgetctl.models.encoding import Encoder
from budgetctl.training import arguments, datasets
from budgetctl.training import rows as training_rows
from budgetctl.training.arguments import Shape
from budgetctl.training.config import PftSettings, SftSettings
from budgetctl.training.guards import check_samples, first_step_check
from budgetctl.training.job import TrainingJob
from budgetctl.training.layout import KTO_LEAST, WHOLE_BATCH
from budgetctl.training.reference import ReferenceTexts
from budgetctl.training.rows import Limits
from budgetctl.training.tokens import FILE_NAME
from budgetctl.training.trl_trainers import (
    PairTrainer,
    ReferenceFreeTrainer,
    SupervisedTrainer,
    UnpairedTrainer,
)
from budgetctl.training.watch import FirstStepCheck


@dataclass(frozen=True)
class Method:
    """What differs between the methods once their rows are tokens.

    Attributes:
        title: For the progress bar.
        rows: Number of rows.
        longest: Padded tokens of the longest row.
        dataset: (stream of row indices) → TRL's dataset.
        arguments: (shape) → TRL's arguments.
        trainer: TRL's trainer class.
        check_first_step: Guard on the first step's figures.
        least: Smallest micro-batch.
        reference: (TRL's dataset) → the texts whose reference log-probabilities the loss needs; None if it needs none.
    """

    title: str
    rows: int
    longest: int
    dataset: Callable[[Sequence[int]], Any]
    arguments: Callable[[Shape], Any]
    trainer: Any
    check_first_step: FirstStepCheck | None = None
    least: int = 1
    reference: Callable[[Any], ReferenceTexts] | None = None


def method_of(
    job: TrainingJob, settings: SftSettings | PftSettings, encoder: Encoder, limits: Limits
) -> Method:
    """Read, tokenise and check a job's rows.

    Raises:
        UsageError: A row is empty, too long, or not what the template allows.
        BudgetctlError: The rendered samples are not one BOS, one end token and a learnt answer.
    """
    if isinstance(settings, SftSettings):
        return _sft(job, settings, encoder, limits)
    return (_kto if settings.method == "kto" else _pairs)(job, settings, encoder, limits)


def _sft(job: TrainingJob, settings: SftSettings, encoder: Encoder, limits: Limits) -> Method:
    full = settings.loss == "full"
    rows = training_rows.read_demonstrations(job.data, encoder, limits, full, job.scratch / FILE_NAME)
    check_samples([(row.prompt_id, row.text) for row in rows[:3]], encoder, answers_only=not full)
    return Method(
        title="sft",
        rows=len(rows),
        longest=max(len(row.text.ids) for row in rows),
        dataset=lambda stream: datasets.demonstrations(rows, stream),
        arguments=lambda shape: arguments.sft_arguments(settings, shape),
        trainer=SupervisedTrainer,
    )


def _pairs(job: TrainingJob, settings: PftSettings, encoder: Encoder, limits: Limits) -> Method:
    rows = training_rows.read_pairs(job.data, encoder, limits, job.scratch / FILE_NAME)
    check_samples([(row.prompt_id, side) for row in rows[:3] for side in (row.chosen, row.rejected)], encoder)
    return Method(
        title=settings.method,
        rows=len(rows),
        longest=max(2 * max(len(row.chosen.ids), len(row.rejected.ids)) for row in rows),
        dataset=lambda stream: datasets.pairs(rows, stream),
        arguments=lambda shape: arguments.pair_arguments(settings, shape),
        trainer=partial(PairTrainer if settings.has_reference else ReferenceFreeTrainer, settings=settings),
        check_first_step=first_step_check(settings, settings.precision) if settings.has_reference else None,
        least=settings.batch_size if settings.method in WHOLE_BATCH else 1,
        reference=(lambda _: datasets.texts_of_pairs(rows)) if settings.has_reference else None,
    )


def _kto(job: TrainingJob, settings: PftSettings, encoder: Encoder, limits: Limits) -> Method:
    rows = training_rows.read_unpaired(job.data, encoder, limits, job.scratch / FILE_NAME)
    check_samples([(row.prompt_id, row.text) for row in rows[:3]], encoder)
    return Method(
        title="kto",
        rows=len(rows),
        longest=max(len(row.prompt) + len(row.answer) for row in rows),
        dataset=lambda stream: datasets.unpaired(rows, stream, settings.batch_size),
        arguments=lambda shape: arguments.kto_arguments(settings, shape),
        trainer=UnpairedTrainer,
        check_first_step=first_step_check(settings, settings.precision),
        least=KTO_LEAST,
        reference=lambda dataset: datasets.texts_of_unpaired(rows, dataset),
    )
