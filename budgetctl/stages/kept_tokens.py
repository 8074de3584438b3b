"""Tokens of training rows as artifacts beside the plan: made by the first training over some rows, read by the others.

The key holds the rows by content, so that two data artifacts with the same rows share one; the tokenizer by the base
that brings it; the template; and the libraries. Whatever changes, other tokens are looked for.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from budgetctl.models.templates import Template
from budgetctl.stages.by_products import keep, known
from budgetctl.stages.stage import StageContext
from budgetctl.training.tokens import FILE_NAME, REVISION, libraries
from store import Payload


def tokens_payload(context: StageContext, template: Template, data: Path) -> Payload:
    """Describe the tokens of a training's rows."""
    identity = {
        "rows": context.parents["data"].files[data.name].hash,
        "form": data.stem,
        "template": template.model_dump(mode="json"),
        "libraries": libraries(),
    }
    parents = {"base": context.parents["base"].key}
    return Payload(stage="tokens", revision=REVISION, identity=identity, parents=parents)


def bring_tokens(context: StageContext, template: Template, data: Path) -> Payload | None:
    """Put known tokens where the training looks for them; return what to publish if there are none yet."""
    payload, place = tokens_payload(context, template, data), context.draft.scratch / FILE_NAME
    if place.exists():
        return payload
    there = known(context, payload, FILE_NAME)
    if there is None:
        return payload
    shutil.copyfile(there, place)
    return None


def keep_tokens(context: StageContext, payload: Payload | None) -> None:
    """Publish what a training tokenised, if it is worth it; the first publisher wins."""
    made = context.draft.scratch / FILE_NAME
    if payload is not None and made.exists():
        keep(context, payload, made)
