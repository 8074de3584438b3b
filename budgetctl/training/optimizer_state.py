"""An optimizer's moments on disk, by the names of the weights they belong to.

Safetensors rather than a pickle, because states are published, fetched from remotes and opened by others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from budgetctl.errors import BudgetctlError

TENSORS_FILE = "optimizer.safetensors"
NUMBERS_FILE = "optimizer.json"
_SEPARATOR = "|"


def save_optimizer_state(optimizer: Any, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write the state of every weight; rates and schedules are not part of it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, float] = {}
    names = _names(optimizer, weights)
    for index, state in optimizer.state_dict()["state"].items():
        for path, value in _flat(state, (names[index],)):
            if isinstance(value, torch.Tensor):
                tensors[_SEPARATOR.join(path)] = value.detach().cpu().clone().contiguous()
            else:
                numbers[_SEPARATOR.join(path)] = value
    save_file(tensors, folder / TENSORS_FILE)
    (folder / NUMBERS_FILE).write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_optimizer_state(optimizer: Any, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Put a saved state into a fresh optimizer over the same weights; its own rates stay.

    Raises:
        BudgetctlError: The state is not there, or belongs to other weights.
    """
    try:
        tensors = load_file(folder / TENSORS_FILE)
        numbers = json.loads((folder / NUMBERS_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise BudgetctlError(f"{folder} holds no optimizer state to go on from: {error}") from error
    saved: dict[str, dict[str, Any]] = {}
    for joined, value in (*tensors.items(), *numbers.items()):
        name, *path = joined.split(_SEPARATOR)
        place = saved.setdefault(name, {})
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    names = _names(optimizer, weights)
    if saved and set(saved) != set(names.values()):
        raise BudgetctlError(
            f"{folder} holds the optimizer state of {len(saved)} weights, and this training has {len(names)} others; "
            "the state does not belong to this adapter."
        )
    state = {index: saved[name] for index, name in names.items() if name in saved}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _names(optimizer: Any, weights: Mapping[str, torch.Tensor]) -> dict[int, str]:
    """A parameter's number in the optimizer's state → the weight's name."""
    name_of = {id(weight): name for name, weight in weights.items()}
    parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
    return {index: name_of[id(weight)] for index, weight in enumerate(parameters)}


def _flat(state: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Leaves of a nested state; values that are neither tensors nor numbers are of no use to a later run."""
    for name, value in state.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, str(name)))
        elif isinstance(value, torch.Tensor | int | float):
            yield (*path, str(name)), value
