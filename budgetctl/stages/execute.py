"""From a stage to its artifact: look for a hit, take the lease, run in a draft, publish."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from budgetctl.console import Reporter
from budgetctl.engines.kept import close_engines
from budgetctl.errors import MissingParentError
from budgetctl.provenance import provenance
from budgetctl.signals import faithful_ctrl_c
from budgetctl.stages.stage import Execution, Stage, StageContext, payload_of
from store import Artifact, Store
from store.errors import MissingArtifact


@dataclass(frozen=True)
class Outcome:
    """What `execute` found or made."""

    artifact: Artifact
    hit: bool
    wall_s: float


def open_parents(store: Store, stage: Stage) -> dict[str, Artifact]:
    """Open every parent of a stage, every byte checked (once per unchanged file and process).

    Raises:
        MissingParentError: One is not published here.
        CorruptArtifact: One is damaged.
    """
    opened = {}
    for role, key in stage.parents.items():
        try:
            opened[role] = store.artifact(key, deep=True)
        except MissingArtifact as error:
            raise MissingParentError(
                f"{stage.name} needs its {role} {key[:12]}, which is not in {store.root}; "
                "run the stage that makes it, or `budgetctl store pull` it from a remote"
            ) from error
    return opened


def execute(
    stage: Stage,
    store: Store,
    execution: Execution,
    reporter: Reporter,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    keep: dict[str, object] | None = None,
    steal: bool = False,
) -> Outcome:
    """Return the stage's artifact, running the stage only if this store does not have it.

    Args:
        stage: What to make.
        store: Where it is looked for and published.
        execution: How to run it here.
        reporter: Told of progress.
        should_stop: Asked at every step.
        keep: What stays for the caller's next stage, such as an engine, which the caller closes; None keeps nothing.
        steal: Take the lease from a process that still holds it.

    Raises:
        MissingParentError: A parent is not published.
        LeasedElsewhere: Another process works on the same key.
        LeaseLost: The lease went to another process while this one was running.
        InterruptedRunError: The stage was asked to stop; its draft lets the next attempt go on.
    """
    payload = payload_of(stage)
    if store.has(payload.key):
        return Outcome(store.artifact(payload.key), hit=True, wall_s=0.0)
    parents = open_parents(store, stage)
    with store.lease(payload.key, note=stage.name, steal=steal) as lease:
        if store.has(payload.key):  # published while this process was getting here
            return Outcome(store.artifact(payload.key), hit=True, wall_s=0.0)
        with store.attempt(payload.key, stage=stage.name):
            started = time.monotonic()
            draft = store.draft(payload)
            parents = open_parents(store, stage)  # again: from now on a collection sees what this work needs
            if draft.resumed:
                reporter.say(f"{stage.name} {payload.key[:12]}: continuing an interrupted attempt")
            kept: dict[str, object] = {} if keep is None else keep
            context = StageContext(
                store=store,
                draft=draft,
                parents=parents,
                execution=execution,
                reporter=reporter,
                should_stop=lambda: lease.lost or should_stop(),
                keep=kept,
            )
            try:
                with faithful_ctrl_c():
                    metrics = stage.run(context)
            finally:
                if keep is None:
                    close_engines(kept)
                lease.check()  # a stage that stopped because its lease is gone says so
            wall_s = time.monotonic() - started
            return Outcome(draft.publish(metrics, provenance(wall_s)), hit=False, wall_s=wall_s)
