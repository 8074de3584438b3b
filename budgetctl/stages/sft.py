"""The `sft` stage: an adapter over the base, trained on demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext
from budgetctl.training.config import Seed, SftSettings

if TYPE_CHECKING:
    from store import Artifact

DATA_FILE = "sft.parquet"


class SftIdentity(Frozen):
    """What a supervised finetuning depends on, beside its base and its rows."""

    template: Template
    settings: SftSettings = SftSettings()
    seed: Seed = 0
    """Of the fresh adapter's weights and the order of the rows."""


@dataclass(frozen=True)
class SftStage:
    """Supervised finetuning of a base on a data artifact's demonstrations."""

    name: ClassVar[str] = "sft"
    revision: ClassVar[int] = 1

    identity: SftIdentity
    base: str
    data: str

    @property
    def parents(self) -> Mapping[str, str]:
        return {"base": self.base, "data": self.data}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        from budgetctl.stages.training_job import run_training  # noqa: PLC0415

        identity = self.identity
        file = demonstrations_of(context.parents["data"])
        return run_training(context, identity.template, identity.settings, identity.seed, None, file)


def demonstrations_of(data: Artifact) -> Path:
    """Return the file of a data artifact's demonstrations.

    Raises:
        UsageError: It holds rows of another kind.
    """
    if DATA_FILE not in data.files:
        raise UsageError(
            f"Data {data.key[:12]} holds {', '.join(sorted(data.files))}, no {DATA_FILE}; make demonstrations with "
            "`budgetctl data … --kind sft`."
        )
    return data.path(DATA_FILE)
