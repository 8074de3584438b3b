"""Files that trainings make for each other, as artifacts beside the plan: whoever comes first publishes, others read.

They belong to no plan, so that a collection may take them; it costs their computation to make them again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from budgetctl.stages.stage import StageContext
from store import Payload
from store.collect import BY_PRODUCT
from store.errors import CorruptArtifact, MissingArtifact


def known(context: StageContext, payload: Payload, name: str) -> Path | None:
    """The published file, every byte checked; None if there is none, or after a damaged one was set aside."""
    try:
        return context.store.artifact(payload.key, deep=True).path(name)
    except MissingArtifact:
        return None
    except CorruptArtifact as found:
        context.store.quarantine(payload.key, str(found))
        context.reporter.say(f"{payload.stage} {payload.key[:12]} set aside, made again: {found}")
        return None


def keep(context: StageContext, payload: Payload, made: Path) -> None:
    """Publish a file under its own name, unless somebody was faster."""
    if context.store.has(payload.key):
        return
    draft = context.store.draft(payload)
    shutil.copyfile(made, draft.files / made.name)
    draft.publish({}, {BY_PRODUCT: True})
