"""A policy spread over the processes of a training: each layer is whole only while it computes (torch's FSDP2).

Accelerate knows FSDP on GPUs only; torch's own `fully_shard` works over gloo as well, so what runs on a cluster is what
the tests run. Whatever is written is gathered first: checkpoints and optimizer states are those of one process, and any
number of processes can go on from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from budgetctl.models.policy import LoraPolicy, Policy


def shard(model: Any, policy: Policy, device: torch.device, processes: int) -> Policy:
    """Spread a model's weights over all processes, layer by layer; return the policy with the weights that train now.

    The model may lie on the CPU; on its device a process then never holds more than its share and one layer.
    """
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    mesh = init_device_mesh(device.type, (processes,))
    places = {
        id(weight): (module, name)
        for module in model.modules()
        for name, weight in module.named_parameters(recurse=False)
    }
    for layer in _layers(model):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    if not isinstance(policy, LoraPolicy):
        return policy
    weights = {name: getattr(*places[id(weight)]) for name, weight in policy.weights.items()}
    return replace(policy, weights=weights)


def is_sharded(model: Any) -> bool:
    """Whether a model is spread over processes."""
    return isinstance(model, FSDPModule)


def gathered(tensor: torch.Tensor, keep: bool = True) -> torch.Tensor:
    """Return a whole tensor on the CPU; every process must ask for it at the same time if it is spread.

    A process that does not `keep` it gets an empty one.
    """
    whole = tensor.detach()
    whole = whole.full_tensor() if isinstance(whole, DTensor) else whole
    return whole.cpu().contiguous() if keep else whole.new_empty(0, device="cpu")


def spread_like(whole: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor spread as `pattern` is, on its device."""
    if not isinstance(pattern, DTensor):
        return whole
    return distribute_tensor(whole.to(pattern.device), pattern.device_mesh, pattern.placements)


def gathered_state(optimizer: Any) -> dict[str, Any]:
    """Return an optimizer's `state_dict` with whole tensors on the CPU; every process must ask for it."""
    content = optimizer.state_dict()
    state = {
        number: {
            name: gathered(value) if isinstance(value, torch.Tensor) else value
            for name, value in moments.items()
        }
        for number, moments in content["state"].items()
    }
    return {"state": state, "param_groups": content["param_groups"]}


def spread_state(optimizer: Any, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved `state_dict` whose moments are spread as the optimizer's weights are."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = {
        number: {
            name: spread_like(value, weights[number])
            if isinstance(value, torch.Tensor) and value.shape == weights[number].shape
            else value
            for name, value in moments.items()
        }
        for number, moments in saved["state"].items()
    }
    return {"state": state, "param_groups": saved["param_groups"]}


def _layers(model: Any) -> list[Any]:
    """The blocks that Transformers says are never to be split, in the model's order."""
    names = set(model._no_split_modules or ())
    return [module for module in model.modules() if type(module).__name__ in names]
