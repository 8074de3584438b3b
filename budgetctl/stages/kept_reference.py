"""Reference log-probabilities as artifacts beside the plan, for all trainings from one policy on the same rows.

There are two: of the rows' own texts, which depend on no setting of a method, and of KTO's mismatched texts, which
follow from the order of its batches. Both are published whole or not at all, and never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budgetctl.models.templates import Template
from budgetctl.stages import by_products
from budgetctl.stages.stage import StageContext
from budgetctl.training.config import PftSettings
from budgetctl.training.reference import MISMATCHED_FILE, OWN_FILE
from budgetctl.training.tokens import libraries
from store import Payload

REVISION = 2
"""1 held only the texts that the first training had seen."""


@dataclass(frozen=True)
class SharedReference:
    """What a training can take over, and what it has to leave for others.

    Attributes:
        known: Files of published scores.
        missing: File in the draft's scratch → what to publish it as.
    """

    known: tuple[Path, ...]
    missing: Mapping[str, Payload]

    @classmethod
    def of(
        cls, context: StageContext, template: Template, settings: PftSettings, seed: int, data: Path
    ) -> SharedReference:
        """Look for the scores that a training needs."""
        payloads = reference_payloads(context, template, settings, seed, data)
        found = {name: by_products.known(context, payload, name) for name, payload in payloads.items()}
        return cls(
            tuple(file for file in found.values() if file is not None),
            {name: payloads[name] for name, file in found.items() if file is None},
        )

    def keep(self, context: StageContext) -> None:
        """Publish what was not there."""
        for name, payload in self.missing.items():
            by_products.keep(context, payload, context.draft.scratch / name)


def reference_payloads(
    context: StageContext, template: Template, settings: PftSettings, seed: int, data: Path
) -> Mapping[str, Payload]:
    """Describe the scores of a training by whatever they depend on, and nothing else; file → payload."""
    parents = {role: artifact.key for role, artifact in context.parents.items()}
    own: dict[str, Any] = {
        "form": data.stem,
        "template": template.model_dump(mode="json"),
        "libraries": libraries(),
        "cut_at": settings.max_length if settings.overlong == "truncate" else None,
        "precision": settings.precision,
        "weights": settings.weights,
        "backend": settings.backend,
    }
    wanted = {OWN_FILE: own}
    if settings.method == "kto":
        order = {"seed": seed, "batch_size": settings.batch_size, "epochs": settings.epochs}
        wanted[MISMATCHED_FILE] = {**own, "mismatched": order}
    return {
        name: Payload(stage="reference", revision=REVISION, identity=identity, parents=parents)
        for name, identity in wanted.items()
    }
