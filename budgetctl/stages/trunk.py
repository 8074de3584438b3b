"""The `trunk` stage: supervised finetuning that is watched on dev rows, its states kept where triggers fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from budgetctl.errors import UsageError
from budgetctl.forking.triggers import WatchSettings
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.sft import demonstrations_of
from budgetctl.stages.stage import Metric, StageContext
from budgetctl.tasks import task_in_version, task_named
from budgetctl.tasks.task import metric_read
from budgetctl.training.config import Seed, SftSettings

if TYPE_CHECKING:
    from store import Artifact

DEV_FILE = "eval.parquet"


class TrunkIdentity(Frozen):
    """What a watched supervised finetuning depends on, beside its base, its rows and its dev rows."""

    template: Template
    settings: SftSettings = SftSettings()
    seed: Seed = 0
    """Of the fresh adapter's weights, the order of the rows and the sampled answers to dev prompts."""
    task: str
    """Whose scorer judges the answers to dev prompts."""
    scorer_version: int
    watch: WatchSettings


@dataclass(frozen=True)
class TrunkStage:
    """A supervised finetuning from whose states preference finetunings may start.

    Publishes what `sft` publishes, and beside it `monitor.parquet`, `forks.json`, `answers.parquet` (where anything
    was generated) and a folder `at/<step>` for each state that a trigger asked for.
    """

    name: ClassVar[str] = "trunk"
    revision: ClassVar[int] = 1

    identity: TrunkIdentity
    base: str
    data: str
    dev: str

    def __post_init__(self) -> None:
        if self.identity.settings.weights == "full":
            raise UsageError(
                "a trunk keeps the states of an adapter, and weights: full would keep a whole model at each of them; "
                "use weights: lora or qlora"
            )
        if self.identity.settings.backend != "trl":
            raise UsageError(
                f"a trunk is measured while it trains, and backend: {self.identity.settings.backend} cannot be; use "
                "backend: trl"
            )
        metric_read(task_named(self.identity.task), self.identity.watch.strict)

    @property
    def parents(self) -> Mapping[str, str]:
        return {"base": self.base, "data": self.data, "dev": self.dev}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Train and watch.

        Raises:
            UsageError: The rows are of another kind, the dev rows are not dev rows of this task, or its scorer has
                another version than planned.
        """
        from budgetctl.stages.training_job import run_training  # noqa: PLC0415
        from budgetctl.training.job import Watched  # noqa: PLC0415

        identity = self.identity
        task_in_version(identity.task, identity.scorer_version)
        rows = demonstrations_of(context.parents["data"])
        dev = context.parents["dev"]
        require_dev_rows(dev, identity.task)
        watched = Watched(
            dev=dev.path(DEV_FILE),
            task=identity.task,
            settings=identity.watch,
            name=context.draft.payload.key,
        )
        return run_training(
            context, identity.template, identity.settings, identity.seed, None, rows, watched=watched
        )


def require_dev_rows(dev: Artifact, task: str) -> None:
    """Refuse rows that may not decide anything.

    Raises:
        UsageError: The artifact holds no evaluation prompts, those of another split than dev, or another task's.
    """
    if DEV_FILE not in dev.files:
        raise UsageError(
            f"Data {dev.key[:12]} holds {', '.join(sorted(dev.files))}, no {DEV_FILE}; make dev rows with "
            "`budgetctl data … --kind eval --split dev`."
        )
    split = dev.identity.get("split")
    if split != "dev":
        raise UsageError(
            f"A trunk is watched on dev rows only, and data {dev.key[:12]} holds rows of split {split!r}; test rows "
            "report, they never decide. Make dev rows with `budgetctl data … --kind eval --split dev`."
        )
    if dev.identity.get("task") != task:
        raise UsageError(
            f"Data {dev.key[:12]} holds dev rows of task {dev.identity.get('task')!r}, but the trunk's task is "
            f"{task!r}."
        )
