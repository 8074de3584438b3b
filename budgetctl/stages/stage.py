"""What a stage is: an identity, parents by role, and a run.

A stage knows nothing of grids, workers or schedulers. `execute` (beside this file) turns a stage into an
artifact: it looks for a hit, takes the lease, runs the stage in a draft and publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from budgetctl.console import Reporter
from budgetctl.schema import Frozen
from store import Artifact, Draft, Payload, Store

Metric = float | int | str | bool | None


class Execution(Frozen):
    """How a stage is run. Nothing here may change what the result means, and nothing here enters a key."""

    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`."""
    micro_batch: int | None = None
    """Rows of one forward pass; None lets the stage find one that fits. The effective batch stays exact."""
    generation_batch: int | None = None
    """Prompts generated at once; None derives it."""
    processes: int = 1
    """Data-parallel processes on this machine, one per GPU: of a training, whose effective batch stays exact, or of a
    generation, whose answers stay the same."""
    engines_per_gpu: int | None = None
    """vLLM processes that share each GPU while answers are generated; None derives it from model and cores."""
    side_by_side: bool = False
    """Whether generations may come several at a time, as a plan's do, so that more engines pay."""
    shard: bool = False
    """Spread the weights of a model that trains over its processes."""
    adapter_rank: int | None = None
    """Largest rank of the adapters that an engine will be asked to serve, if a plan tells it."""
    threads: int | None = None
    """CPU threads of torch; None leaves torch's own choice."""
    checkpoint_every_s: float = 600.0
    """Seconds between training checkpoints in the draft."""
    location: Path | None = None
    """Where a declared source lies on this machine, when the identity alone cannot say (`--path`)."""
    sources: Mapping[str, Path] = {}
    """Content hash or declared name of a local source → where it lies on this machine."""
    offline: bool = False
    """Never ask a hub."""
    track: str | None = None
    """An experiment tracker to mirror logged values to: `wandb` or `trackio`."""
    keep_reference: bool = True
    """Publish the reference's log-probabilities for the other trainings of a sweep; otherwise they stay in memory."""
    study: Mapping[str, Any] = {}
    """For the tracker: the `plan`'s name, and budget, share and the other axes of the cells that need this stage."""


@dataclass(frozen=True)
class StageContext:
    """What a running stage is given."""

    store: Store
    draft: Draft
    """`draft.files` is what gets published, `draft.scratch` survives a kill for the next attempt."""
    parents: Mapping[str, Artifact]
    """The opened parents by role; only optional roles may be absent."""
    execution: Execution
    reporter: Reporter
    should_stop: Callable[[], bool]
    """True once a signal asked to stop or the lease is lost: save to scratch, raise InterruptedRunError."""
    keep: dict[str, object]
    """What a worker holds between stages of one process (a loaded model or engine), by a name with a content key.
    A stage may take from it and leave in it; it must work with an empty one."""


class Stage(Protocol):
    """One unit of cached work. Implementations are frozen dataclasses: an identity and the parents' keys."""

    name: ClassVar[str]
    revision: ClassVar[int]
    """Raise it when the meaning of the same identity changes."""

    @property
    def identity(self) -> Frozen:
        """What the result depends on, beside the parents."""

    @property
    def parents(self) -> Mapping[str, str]:
        """Role → key of the artifacts this stage reads."""

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Do the work, write into `context.draft.files`, and return the metrics for the manifest.

        Heavy libraries are imported here, never at the top of the module, so that a hit needs none of them.
        """


def payload_of(stage: Stage) -> Payload:
    """The canonical description whose hash is the stage's key."""
    return Payload(
        stage=stage.name,
        revision=stage.revision,
        identity=stage.identity.model_dump(mode="json"),
        parents=dict(stage.parents),
    )
