"""From a stored description back to the stage that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from budgetctl.errors import UsageError
from budgetctl.schema import describe_problems
from budgetctl.stages.base import BaseIdentity, BaseStage
from budgetctl.stages.data import DataIdentity, DataStage
from budgetctl.stages.eval import EvalIdentity, EvalStage
from budgetctl.stages.fork import ForkIdentity, ForkStage
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.pairs import PairsIdentity, PairsStage
from budgetctl.stages.perplexity import PerplexityIdentity, PerplexityStage
from budgetctl.stages.pft import PftIdentity, PftStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Stage
from budgetctl.stages.trunk import TrunkIdentity, TrunkStage
from store import Payload

STAGES: Mapping[str, tuple[type[Any], type[Any]]] = {
    "base": (BaseStage, BaseIdentity),
    "data": (DataStage, DataIdentity),
    "pairs": (PairsStage, PairsIdentity),
    "sft": (SftStage, SftIdentity),
    "trunk": (TrunkStage, TrunkIdentity),
    "fork": (ForkStage, ForkIdentity),
    "pft": (PftStage, PftIdentity),
    "gen": (GenStage, GenIdentity),
    "eval": (EvalStage, EvalIdentity),
    "perplexity": (PerplexityStage, PerplexityIdentity),
}


def stage_from(payload: Payload) -> Stage:
    """Rebuild a stage from its payload.

    Raises:
        UsageError: The stage, its revision or its identity is not one this version runs.
    """
    if payload.stage not in STAGES:
        raise UsageError(f"this version knows no stage {payload.stage!r}; it runs {', '.join(STAGES)}")
    stage_type, identity_type = STAGES[payload.stage]
    if payload.revision != stage_type.revision:
        raise UsageError(
            f"stage {payload.stage} {payload.key[:12]} was planned at revision {payload.revision}, this version "
            f"runs revision {stage_type.revision}; plan again"
        )
    try:
        identity = identity_type.model_validate(payload.identity)
    except ValidationError as error:
        raise UsageError(
            f"stage {payload.stage} {payload.key[:12]} was planned with what this version refuses; plan again\n"
            + describe_problems(error, identity_type, payload.stage)
        ) from error
    stage: Stage = stage_type(identity=identity, **payload.parents)
    return stage
