"""The same workers as an indexed Job of Kubernetes: a document written as YAML, so no value can become another line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from budgetctl.errors import UsageError
from budgetctl.schema import Frozen
from budgetctl.slurm.script import Job
from budgetctl.slurm.settings import SlurmSettings, matching

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,250}[A-Za-z0-9])?"


def _labels(values: Mapping[str, str]) -> Mapping[str, str]:
    for text in (*values, *values.values()):
        if not re.fullmatch(_LABEL, text):
            raise ValueError(f"{text!r} cannot be a label of a node")
    return values


class KubernetesSettings(Frozen):
    """The `kubernetes:` section; numbers of workers, cores, GPUs and memory are those of `slurm:`."""

    image: Annotated[str | None, matching(r"[a-z0-9][A-Za-z0-9._/:@-]*", "the name of a container image")] = (
        None
    )
    """Container image with budgetctl."""
    claim: Annotated[
        str | None, matching(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", "the name of a persistent volume claim")
    ] = None
    """Persistent volume claim (ReadWriteMany) that holds the store."""
    mount: Path | None = None
    """Where the claim's root lies, here and in the pods; without it the claim is the store's folder itself."""
    gpu: Annotated[str, matching(_LABEL, "the name of a resource")] = "nvidia.com/gpu"
    """Resource that a GPU is asked for as."""
    nodes: Annotated[Mapping[str, str], AfterValidator(_labels)] = {}
    """Labels that a node must have, for instance to get a kind of GPU."""


def render_kubernetes(settings: KubernetesSettings, batch: SlurmSettings, job: Job) -> str:
    """Render the Job for `kubectl apply -f -`.

    A worker that was asked to stop ends with 75 and is started again without counting; one that fails is tried three
    times, and the others go on.

    Raises:
        UsageError: Image or claim are not given, or the store does not lie in the claim.
    """
    for name in ("image", "claim"):
        if getattr(settings, name) is None:
            raise UsageError(f"--emit k8s needs kubernetes.{name} in the recipe, or --{name}")
    mount = (settings.mount or job.store).absolute()
    if not job.store.is_relative_to(mount):
        raise UsageError(
            f"the store {job.store} does not lie in kubernetes.mount {mount}; pods would not see it"
        )
    container: dict[str, Any] = {
        "name": "worker",
        "image": settings.image,
        "command": [_literal(word) for word in job.command(batch.python or "python")],
        "env": [
            {"name": name, "value": _literal(value)} for name, value in sorted(batch.environment.items())
        ],
        "resources": {"limits": _limits(settings, batch)},
        "volumeMounts": [{"name": "store", "mountPath": str(mount)}],
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": batch.warned_s,
        "nodeSelector": dict(settings.nodes),
        "containers": [{name: value for name, value in container.items() if value}],
        "volumes": [{"name": "store", "persistentVolumeClaim": {"claimName": settings.claim}}],
    }
    document = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"budgetctl-{job.plan[:12]}",
            "annotations": {"budgetctl/plan": job.plan, "budgetctl/study": job.name, "budgetctl/code": job.revision},
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": job.workers,
            "parallelism": min(job.workers, batch.at_once or job.workers),
            "backoffLimitPerIndex": 3,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}},
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"spec": {name: value for name, value in pod.items() if value}},
        },
    }  # fmt: skip
    import yaml  # noqa: PLC0415

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000))


def _literal(text: str) -> str:
    """Kubernetes puts variables in place of `$(NAME)`; two dollars stand for one."""
    return text.replace("$(", "$$(")


def _limits(settings: KubernetesSettings, batch: SlurmSettings) -> dict[str, str]:
    """Cores, memory (Slurm's units are binary and megabytes by default) and GPUs of one worker."""
    limits = {}
    if batch.cpus is not None:
        limits["cpu"] = str(batch.cpus)
    if batch.mem is not None:
        limits["memory"] = f"{batch.mem}i" if batch.mem[-1] in "KMGT" else f"{batch.mem}Mi"
    if batch.gpus is not None:
        limits[settings.gpu] = batch.gpus.rpartition(":")[2]
    return limits
