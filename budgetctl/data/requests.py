"""From what a user says (task, kind, size, path, overlap) to a data stage; its key is computed offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from budgetctl.data.ranking import Grouping
from budgetctl.data.sources import AnySource, ArithSource, Gsm8kFiles
from budgetctl.errors import UsageError
from budgetctl.schema import Frozen, describe_problems
from budgetctl.stages.data import DataIdentity, DataStage
from budgetctl.tasks import task_named

S = TypeVar("S", bound=Frozen)


@dataclass(frozen=True)
class Supply:
    """Where a task's rows come from: the source of each side, and where local files lie on this machine."""

    task: str
    sft: AnySource
    pref: AnySource
    eval: AnySource
    answers: Grouping = "together"
    located: Mapping[str, Path] = field(default_factory=dict)
    """For `Execution.sources`; never part of a key."""


def supply_of(task: str, path: Path | None = None, options: Mapping[str, Any] | None = None) -> Supply:
    """Resolve a task's sources.

    Args:
        task: `arith` or `gsm8k`.
        path: Where its files lie, for tasks that are read from files.
        options: Settings of the source, as in a recipe's `data.options`.

    Raises:
        UsageError: Unknown task or option, a value out of range, a missing path.
    """
    settings = dict(options or {})
    task_named(task)
    if task == "arith":
        if path is not None:
            raise UsageError("arith is generated and takes no --path")
        arith = _validated(ArithSource, settings, "data.options")
        return Supply(task, arith, arith, arith)
    if settings:
        raise UsageError(f"gsm8k takes no data options; given: {', '.join(settings)}")
    if path is None:
        raise UsageError(
            "gsm8k is read from files; name the folder of train.jsonl and test.jsonl with --path"
        )
    files, located = Gsm8kFiles.at(path)
    return Supply(task, files, files, files, located=located)


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


def eval_data(
    supply: Supply, split: Literal["dev", "test"], size: int | None, system_prompt: str | None = None
) -> DataStage:
    """Evaluation prompts: the same for all cells and seeds of a study."""
    return _stage(supply, system_prompt, source=supply.eval, kind="eval", split=split, size=size)


def _stage(supply: Supply, system_prompt: str | None, **fields: Any) -> DataStage:
    system = task_named(supply.task).system_prompt if system_prompt is None else system_prompt
    try:
        identity = DataIdentity(task=supply.task, system_prompt=system, answers=supply.answers, **fields)
    except ValidationError as error:
        raise UsageError("; ".join(f"data: {_sentence(problem)}" for problem in error.errors())) from error
    return DataStage(identity)


def _sentence(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message} (given: {problem['input']!r})" if where else message


def _validated(model: type[S], settings: Mapping[str, Any], where: str) -> S:
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise UsageError(describe_problems(error, model, where)) from error
