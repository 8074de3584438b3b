"""From what a user asks of one trunk to its stage and those of its forks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from budgetctl.errors import UsageError
from budgetctl.forking.entries import parse_triggers
from budgetctl.forking.triggers import WatchSettings
from budgetctl.stages.fork import Anneal, ForkIdentity, ForkStage
from budgetctl.stages.sft import demonstrations_of
from budgetctl.stages.stage import payload_of
from budgetctl.stages.trunk import TrunkIdentity, TrunkStage, require_dev_rows
from budgetctl.study.bases import BaseRequest, FoundBase
from budgetctl.study.requests import settings_of, sft_settings
from budgetctl.tasks import task_named
from store import Artifact

EVALUATIONS = 16
"""How often a trunk is evaluated when nobody says."""


def trunk_stage(
    base: FoundBase | BaseRequest,
    data: Artifact,
    dev: Artifact,
    given: Mapping[str, Any],
    seed: int,
    triggers: Sequence[Any],
    watch: Mapping[str, Any],
) -> TrunkStage:
    """A watched supervised finetuning.

    Args:
        base: The base model.
        data: Demonstrations.
        dev: Dev rows.
        given: Settings of the training.
        seed: Of the adapter, the order and the answers.
        triggers: Entries as in a recipe.
        watch: Other settings of the watch; without `every`, the run is evaluated `EVALUATIONS` times.

    Raises:
        UsageError: A setting, a trigger or the rows are not valid.
    """
    from budgetctl.training.order import RowOrder  # noqa: PLC0415  (numpy)

    task = str(data.identity["task"])
    demonstrations_of(data)
    require_dev_rows(dev, task)
    if not triggers:
        raise UsageError(
            "say at which states to fork, for example --perplexity 3 --pass 1:0.3 --plateau perplexity:3 --at 128"
        )
    settings = sft_settings(base, given)
    order = RowOrder(int(str(data.metrics["rows"])), settings.epochs, settings.batch_size, seed)
    fields = {"every": math.ceil(order.examples / EVALUATIONS), **watch}
    fields["triggers"] = parse_triggers(triggers, order.examples)
    identity = TrunkIdentity(
        template=base.template,
        settings=settings,
        seed=seed,
        task=task,
        scorer_version=task_named(task).scorer_version,
        watch=settings_of(WatchSettings, fields, "watch"),
    )
    return TrunkStage(identity, base.key, data.key, dev.key)


def fork_stages(trunk: TrunkStage, anneal: float | None) -> list[ForkStage]:
    """One fork per trigger of a trunk, in its order.

    Args:
        trunk: The trunk.
        anneal: Share of a fork's examples over which its rate falls to zero; None forks the states as they are.

    Raises:
        UsageError: The share is out of range.
    """
    key = payload_of(trunk).key
    triggers = trunk.identity.watch.triggers
    if anneal is None:
        return [ForkStage(ForkIdentity(trigger=trigger), key) for trigger in triggers]
    cooling = settings_of(Anneal, {"share": anneal}, "anneal")
    return [
        ForkStage(ForkIdentity(trigger=trigger, anneal=cooling), key, trunk.base, trunk.data)
        for trigger in triggers
    ]
