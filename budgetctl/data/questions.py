"""Evaluation prompts before they are asked: each has a reference that the task's scorer can read."""

from __future__ import annotations

from budgetctl.data.pool import Pool
from budgetctl.data.turns import Conversation, conversations
from budgetctl.errors import UsageError
from budgetctl.tasks.task import Task

SHOWN = 120
"""Characters of a prompt that a message quotes."""


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
    text = (prompt[-1][1] if prompt else None) or ""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
