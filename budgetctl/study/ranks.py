"""Ranks of adapters, told before anything is trained, so that an engine is started once for all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from budgetctl.study.plan import Plan
from store import Artifact, Payload

ADAPTER_CONFIG = "adapter_config.json"


def rank_of(checkpoint: Artifact) -> int:
    """The rank of a published checkpoint's adapter; 0 where it has full weights."""
    if ADAPTER_CONFIG not in checkpoint.files:
        return 0
    return int(json.loads(checkpoint.path(ADAPTER_CONFIG).read_text(encoding="utf-8"))["r"])


def largest_rank(plan: Plan) -> int | None:
    """The largest rank among the adapters a plan will publish, its branches' included; None where it publishes none."""
    found: dict[str, int] = {}
    ranks = [_planned(key, plan.stages, found) for key in plan.stages]
    for branch in plan.branches:
        below = _planned(branch.fork, plan.stages, found)
        ranks += [_of(stage.identity, below if "policy" in stage.parents else 0) for stage in branch.stages]
    return max(ranks, default=0) or None


def _planned(key: str, stages: Mapping[str, Payload], found: dict[str, int]) -> int:
    """Rank of what a planned stage publishes."""
    if key not in found and key in stages:
        payload = stages[key]
        parents = [parent for role, parent in payload.parents.items() if role in ("policy", "trunk")]
        below = max((_planned(parent, stages, found) for parent in parents), default=0)
        found[key] = below if payload.stage == "fork" else _of(payload.identity, below)
    return found.get(key, 0)


def _of(identity: Mapping[str, Any], below: int) -> int:
    """Rank of a training's adapter: its own and that of the one it is stacked on, or that of the one it continues."""
    settings: Mapping[str, Any] = identity.get("settings") or {}
    if "lora" not in settings or settings.get("weights") == "full":
        return 0
    if below and settings.get("adapter") == "continue":
        return below
    return int(settings["lora"]["rank"]) + below
