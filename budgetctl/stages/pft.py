"""The `pft` stage: a second adapter over the frozen first, trained on preferences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext
from budgetctl.training.config import PftSettings, Seed

PAIRS_FILE = "pref.parquet"
UNPAIRED_FILE = "unpaired.parquet"


class PftIdentity(Frozen):
    """What a preference finetuning depends on, beside its base, its policy and its rows."""

    template: Template
    settings: PftSettings = PftSettings()
    seed: Seed = 0
    """Of the fresh adapter's weights and the order of the rows."""


@dataclass(frozen=True)
class PftStage:
    """Preference finetuning of a checkpoint, or of the base itself where there is none."""

    name: ClassVar[str] = "pft"
    revision: ClassVar[int] = 1

    identity: PftIdentity
    base: str
    data: str
    policy: str | None = None
    """Key of the checkpoint to start from and to be pulled towards; None is the base."""

    @property
    def parents(self) -> Mapping[str, str]:
        parents = {"base": self.base, "data": self.data}
        return parents if self.policy is None else {**parents, "policy": self.policy}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        from budgetctl.stages.training_job import run_training  # noqa: PLC0415

        data = context.parents["data"]
        identity = self.identity
        files = (UNPAIRED_FILE, PAIRS_FILE) if identity.settings.method == "kto" else (PAIRS_FILE,)
        file = next((name for name in files if name in data.files), None)
        if file is None:
            raise UsageError(
                f"Data {data.key[:12]} holds {', '.join(sorted(data.files))}; {identity.settings.method} needs "
                f"{' or '.join(files)}. Make pairs with `budgetctl data … --kind pref`."
            )
        policy = context.parents.get("policy")
        parent = policy.path() if policy is not None else None
        rows = data.path(file)
        return run_training(context, identity.template, identity.settings, identity.seed, parent, rows)
