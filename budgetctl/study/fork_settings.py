"""The `forks` section of a recipe: one long SFT run, the states of it to fork at, and what to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from budgetctl.schema import Frozen
from budgetctl.stages.fork import Anneal


class ForkSettings(Frozen):
    """Preference runs that start from states of one long SFT run."""

    triggers: Annotated[tuple[Mapping[str, Any], ...], Field(min_length=1)]
    """When to fork; see below."""
    every: Annotated[int, Field(ge=1)]
    """Demonstrations between two evaluations on dev rows."""
    sft_budget: Annotated[float | None, Field(gt=0)] = None
    """How much of a budget the long run may spend, in the budget's unit; None is all of it."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    """One-sided confidence of a decision over a whole run: a threshold that is never really passed fires in at
    most 1 - level of runs."""
    dev_size: Annotated[int | None, Field(gt=1)] = 128
    """Dev prompts that decide; None takes all."""
    samples: Annotated[int, Field(ge=1)] = 4
    """Answers to a dev prompt, for `pass@k`; at least the largest k."""
    temperature: Annotated[float, Field(gt=0)] = 0.7
    """Of those answers."""
    max_new_tokens: Annotated[int | None, Field(gt=0)] = None
    """Of those answers; None takes the task's."""
    strict: bool = True
    """Whether they count by the task's strict reading; false takes the forgiving one, such as GSM8K's last number."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What generates them, beside the training."""
    monitors: tuple[str, ...] = ()
    """Metrics that are logged at every evaluation and decide nothing: `perplexity`, `pass@1`, …"""
    anneal: Anneal | None = None
    """Let every fork cool down; None forks the state as it is. See below."""
    baselines: Literal["none", "matched"] = "none"
    """`matched` adds the SFT-only and the PFT-only run of each budget, and for each fork the same split trained
    from scratch."""
