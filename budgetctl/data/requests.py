"""From what a user says (task, kind, size, path, overlap) to a data stage; its key is computed offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from budgetctl.data.layouts import Split
from budgetctl.data.supply import Supply, supply_of
from budgetctl.errors import UsageError
from budgetctl.stages.data import DataIdentity, DataStage
from budgetctl.tasks import task_named

__all__ = ["Supply", "eval_data", "preference_data", "sft_data", "supply_of"]


def sft_data(supply: Supply, size: int, seed: int, system_prompt: str | None = None) -> DataStage:
    """The SFT rows of a cell."""
    return _stage(supply, system_prompt, source=supply.sft, kind="sft", split="train", size=size, seed=seed)


def preference_data(
    supply: Supply,
    size: int,
    seed: int,
    *,
    kind: Literal["pref", "unpaired"] = "pref",
    overlap: Literal["shared", "disjoint"] = "disjoint",
    n_sft: int = 0,
    system_prompt: str | None = None,
) -> DataStage:
    """The preference rows of a cell.

    Args:
        supply: The task's sources.
        size: Number of pairs.
        seed: Of the ranking; the same as the cell's SFT rows have.
        kind: `unpaired` for KTO.
        overlap: `disjoint` takes pairs from the back of the ranking and checks them against the SFT rows.
        n_sft: How many SFT rows the cell has.
        system_prompt: Instead of the task's own.
    """
    apart: dict[str, Any] = {}
    if overlap == "disjoint":
        side = {"source": supply.sft, "size": n_sft} if n_sft else None
        apart = {"end": "back", "apart_from": side}
    return _stage(
        supply, system_prompt, source=supply.pref, kind=kind, split="train", size=size, seed=seed, **apart
    )


def eval_data(supply: Supply, split: Split, size: int | None, system_prompt: str | None = None) -> DataStage:
    """Evaluation prompts: the same for all cells and seeds of a study. `train` gives prompts to sample from."""
    return _stage(supply, system_prompt, source=supply.eval, kind="eval", split=split, size=size)


def _stage(supply: Supply, system_prompt: str | None, **fields: Any) -> DataStage:
    system = task_named(supply.task).system_prompt if system_prompt is None else system_prompt
    try:
        if fields["split"] == "train":
            fields = {**fields, "held_out": supply.eval}
        identity = DataIdentity(task=supply.task, system_prompt=system, answers=supply.answers, **fields)
    except ValidationError as error:
        raise UsageError("; ".join(f"data: {_sentence(problem)}" for problem in error.errors())) from error
    return DataStage(identity)


def _sentence(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message} (given: {problem['input']!r})" if where else message
