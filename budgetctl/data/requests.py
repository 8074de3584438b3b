"""From what a user says (task, kind, size, path, overlap) to a data stage; its key is computed offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from budgetctl.data.amount import Size, Tokens
from budgetctl.data.layouts import Split
from budgetctl.data.supply import Supply, supply_of
from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.stages.data import DataIdentity, DataStage, TokenLimit
from budgetctl.tasks import task_named

__all__ = ["Lengths", "Supply", "eval_data", "preference_data", "sft_data", "supply_of"]


@dataclass(frozen=True)
class Lengths:
    """Count tokens, and leave out rows that are too long, as one model reads them."""

    base: str
    """Key of the base whose tokenizer counts."""
    template: Template
    most: int | None = None
    """None only measures."""


def sft_data(
    supply: Supply, size: Size, seed: int, system_prompt: str | None = None, lengths: Lengths | None = None
) -> DataStage:
    """The SFT rows of a cell."""
    fields = {"source": supply.sft, "kind": "sft", "split": "train", "seed": seed, **_amount(size)}
    return _stage(supply, system_prompt, lengths, fields)


def preference_data(
    supply: Supply,
    size: Size,
    seed: int,
    *,
    kind: Literal["pref", "unpaired"] = "pref",
    overlap: Literal["shared", "disjoint"] = "disjoint",
    n_sft: Size | None = None,
    system_prompt: str | None = None,
    lengths: Lengths | None = None,
) -> DataStage:
    """The preference rows of a cell.

    Args:
        supply: The task's sources.
        size: Number of pairs, or a budget in tokens (which needs `lengths`).
        seed: Of the ranking; the same as the cell's SFT rows have.
        kind: `unpaired` for KTO.
        overlap: `disjoint` takes pairs from the back of the ranking and checks them against the SFT rows.
        n_sft: How many SFT rows the cell has, or their budget in tokens.
        system_prompt: Instead of the supply's or the task's own; an empty text is none.
        lengths: The same as the cell's SFT rows have.
    """
    fields: dict[str, Any] = {
        "source": supply.pref,
        "kind": kind,
        "split": "train",
        "seed": seed,
        **_amount(size),
    }
    if overlap == "disjoint":
        side = {"source": supply.sft, **_amount(n_sft)} if n_sft else None
        fields = {**fields, "end": "back", "apart_from": side}
    return _stage(supply, system_prompt, lengths, fields)


def eval_data(
    supply: Supply, split: Split, size: int | None, system_prompt: str | None = None, seed: int = 0
) -> DataStage:
    """Evaluation prompts: the same for all cells and seeds of a study. `train` gives prompts to sample from."""
    fields = {"source": supply.eval, "kind": "eval", "split": split, "size": size, "seed": seed}
    return _stage(supply, system_prompt, None, fields)


def _stage(
    supply: Supply, system_prompt: str | None, lengths: Lengths | None, fields: Mapping[str, Any]
) -> DataStage:
    given = {"task": supply.task, "answers": supply.answers, **fields}
    given["system_prompt"] = _system_prompt(supply, system_prompt)
    if fields["split"] == "train":
        given["held_out"] = supply.eval
    if lengths is not None:
        given["tokens"] = TokenLimit(template=lengths.template, most=lengths.most)
    try:
        identity = DataIdentity(**given)
    except ValidationError as error:
        raise UsageError("; ".join(f"data: {_sentence(problem)}" for problem in error.errors())) from error
    other = None if identity.apart_from is None else identity.apart_from.source
    supply.require(identity.source, identity.held_out, other)
    return DataStage(identity, None if lengths is None else lengths.base)


def _system_prompt(supply: Supply, wanted: str | None) -> str | None:
    """The one asked for, else the supply's, else the task's; an empty one is none."""
    chosen = supply.system_prompt if wanted is None else wanted
    return (task_named(supply.task).system_prompt if chosen is None else chosen) or None


def _amount(size: Size) -> dict[str, int | None]:
    """The fields of an identity that say how much is taken."""
    if isinstance(size, Tokens):
        return {"size": None, "token_budget": size.budget}
    return {"size": size}


def _sentence(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message} (given: {problem['input']!r})" if where else message
