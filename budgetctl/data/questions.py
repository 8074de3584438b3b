"""Evaluation prompts before they are asked: each stands once, with one reference that the task's scorer can read."""

from __future__ import annotations

from dataclasses import replace

from budgetctl.data.pool import Pool
from budgetctl.data.reasons import REPEATED_PROMPTS
from budgetctl.data.turns import Conversation, conversations
from budgetctl.errors import UsageError
from budgetctl.tasks.task import Task

SHOWN = 120
"""Characters that a message quotes of a text."""


def once_each(pool: Pool, what: str) -> Pool:
    """Keep one row of every prompt; answers are told apart by prompt ids, so two could not be scored.

    Which wording of a prompt stays does not depend on the order of the rows.

    Raises:
        UsageError: Rows of one prompt have different references.
    """
    if len(set(pool.prompt_ids)) == len(pool):
        return pool
    references = [text for batch in pool.batches for text in batch.column("reference").to_pylist()]
    kept: dict[str, int] = {}
    for row, name in enumerate(pool.prompt_ids):
        known = kept.setdefault(name, row)
        if references[row] != references[known]:
            (prompt,) = conversations(pool.take([row]).column("prompt"))
            raise UsageError(
                f"{what}: the prompt {quoted(prompt)} has two references, {shortened(references[known])} and "
                f"{shortened(references[row])}; keep the one that answers are to be compared with"
            )
        if pool.digests[row] < pool.digests[known]:
            kept[name] = row
    rows = sorted(kept.values())
    return replace(
        pool,
        prompt_ids=[pool.prompt_ids[row] for row in rows],
        digests=[pool.digests[row] for row in rows],
        lengths=[pool.lengths[row] for row in rows] if pool.lengths else (),
        costs=[pool.costs[row] for row in rows] if pool.costs else (),
        left_out={**pool.left_out, REPEATED_PROMPTS: len(pool) - len(rows)},
        batches=[pool.take(rows)],
    )


def require_references(pool: Pool, task: Task, what: str) -> None:
    """Check every reference of a pool of evaluation rows now, rather than when answers to it are scored.

    Raises:
        UsageError: The scorer cannot compare answers with one.
    """
    for batch in pool.batches:
        references = batch.column("reference").to_pylist()
        for prompt, reference in zip(conversations(batch.column("prompt")), references, strict=True):
            try:
                task.check_reference(reference)
            except UsageError as error:
                raise UsageError(f"{what}: the prompt {quoted(prompt)} cannot be scored: {error}") from error


def quoted(prompt: Conversation) -> str:
    """A prompt as a message names it: the beginning of its last turn."""
    return shortened((prompt[-1][1] if prompt else None) or "")


def shortened(text: str) -> str:
    """A text in quotation marks, cut where it is long."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
