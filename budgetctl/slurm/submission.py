"""From a plan and its settings to the job a script runs, with the warnings a person should see first."""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from budgetctl.errors import UsageError
from budgetctl.provenance import code_revision
from budgetctl.schema import Frozen, describe_problems
from budgetctl.slurm.cluster import file_system_of, has_slurm, is_shared, max_array_size
from budgetctl.slurm.script import Job
from budgetctl.slurm.settings import SlurmSettings

_RECORDED = ("budgetctl", "torch", "transformers", "trl", "peft", "vllm", "unsloth")


@dataclass(frozen=True)
class Submission:
    """A job ready to be rendered, and what to say about it."""

    settings: SlurmSettings
    job: Job
    warnings: tuple[str, ...]


S = TypeVar("S", bound=Frozen)


def overridden(settings: S, changes: Mapping[str, Any], where: str = "slurm") -> S:
    """Put the command line's settings in place of the recipe's.

    Raises:
        UsageError: A value does not fit.
    """
    wanted = {
        **settings.model_dump(),
        **{name: value for name, value in changes.items() if value is not None},
    }
    try:
        return type(settings).model_validate(wanted)
    except ValidationError as error:
        raise UsageError(describe_problems(error, type(settings), where)) from error


def submission(
    settings: SlurmSettings,
    *,
    plan_id: str,
    name: str,
    store: Path,
    remaining: int,
    summary: str,
    options: Sequence[str],
) -> Submission:
    """Describe the workers of a plan.

    Args:
        settings: The recipe's, or `overridden` ones.
        plan_id: Id of the stored plan.
        name: Of the recipe.
        store: The store's folder.
        remaining: Stages that are not published; more workers than that have nothing to do.
        summary: One line about the plan.
        options: For every worker.
    """
    warnings = []
    most = max_array_size()
    workers = max(1, min(settings.workers, most, remaining))
    if settings.workers > most:
        warnings.append(
            f"{settings.workers} workers are more than Slurm's MaxArraySize {most}; the array has {workers}"
        )
    store = store.absolute()
    if not is_shared(store):
        kind = file_system_of(store) or "unknown"
        warnings.append(
            f"the store {store} is not on a shared file system (it is {kind}): every node must see it under this path, "
            "or --store must name one that they do"
        )
    if not has_slurm():
        warnings.append(
            "there is no sbatch on this machine; copy the script to one that has it, or use "
            "`budgetctl run --jobs N`, which does the same work here"
        )
    logs = (settings.logs or store / "logs").absolute() / plan_id[:12]
    job = Job(
        plan=plan_id,
        name=name,
        store=store,
        logs=logs,
        python=sys.executable,
        workers=workers,
        options=tuple(options),
        summary=summary,
        revision=code_revision(),
        made_with=_environment(),
    )
    return Submission(settings, job, tuple(warnings))


def _environment() -> str:
    """Versions and host of this process, in one line."""
    versions = []
    for name in _RECORDED:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return f"{', '.join(versions)}, Python {platform.python_version()} on {socket.gethostname()}"
