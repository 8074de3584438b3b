"""Fork studies without a training: what a recipe plans is published with made-up figures, by way of the real store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from budgetctl.forking.records import ForkRecord, MonitorRow, write_monitor
from budgetctl.study.branches import grown_in
from budgetctl.study.plan import Branch, Plan, PlannedCell
from store import Payload, Store

ITEMS = 100
BATCH = 8

Write = Callable[[Path], None]


def publish(store: Store, payload: Payload, metrics: Mapping[str, Any], *files: Write) -> None:
    """Publish one stage, unless it is there."""
    if store.has(payload.key):
        return
    draft = store.draft(payload)
    for write in files:
        write(draft.files)
    draft.publish(metrics, {"wall_s": 1.0})


def publish_all(store: Store, plan: Plan, *but: str) -> None:
    """Publish every planned stage, empty, but those of some kinds."""
    for payload in plan.stages.values():
        if payload.stage not in but:
            publish(store, payload, {})


def publish_trunk(store: Store, plan: Plan, key: str, perplexities: Iterable[float]) -> None:
    """Publish a trunk by what its evaluations found, one every two steps."""
    rows = [
        MonitorRow(
            step=step, examples=step * BATCH, distinct=step * BATCH, epoch=0.0, learning_rate=1e-3, metric="perplexity",
            value=value, low=value * 0.95, high=value * 1.05, se=0.02, n=64, k=None, samples=None, strict=None,
        )
        for step, value in zip(range(0, 1000, 2), perplexities, strict=False)
    ]  # fmt: skip
    publish(store, plan.stages[key], {}, lambda folder: write_monitor(folder / "monitor.parquet", rows))


def fork_facts(trigger: str, step: int | None, same_as: str = "") -> dict[str, Any]:
    """What a fork's manifest says; without a step the trigger did not fire. Perplexity falls from step to step."""
    examples, value = (None, 2.0) if step is None else (step * BATCH, 2.0 + 10 / (1 + step))
    record = ForkRecord(
        trigger=trigger, fired=step is not None, same_as=same_as, step=step, examples=examples, distinct=examples,
        epoch=0.0, learning_rate=1e-3, metric="perplexity", value=value, low=value * 0.95, high=value * 1.05, n=64,
        k=None, samples=None, strict=None, folder=None,
    )  # fmt: skip
    return {name: found for name, found in asdict(record).items() if name not in ("folder", "samples")}


def publish_forks(store: Store, plan: Plan, step_of: Callable[[Branch], int | None]) -> Plan:
    """Publish every fork at the step that is said of its branch; return the plan with what follows them."""
    for branch in plan.branches:
        facts = fork_facts(branch.axes["fork"], step_of(branch))
        publish(store, plan.stages[branch.fork], facts)
    return grown_in(plan, store)


def publish_scores(store: Store, plan: Plan, score_of: Callable[[PlannedCell], float]) -> None:
    """Publish every cell's evaluation with a share of right items, the easiest ones."""
    for cell in plan.cells:
        right = round(score_of(cell) * ITEMS)
        rows = [
            {"prompt_id": f"item{item:03}", "sample": 0, "metric": "accuracy", "value": float(item < right)}
            for item in range(ITEMS)
        ]
        table = pyarrow.Table.from_pylist(rows)
        publish(
            store,
            plan.stages[cell.result],
            {"task": "arith", "primary": "accuracy", "accuracy": right / ITEMS, "prompts": ITEMS},
            lambda folder, table=table: pyarrow.parquet.write_table(table, folder / "verdicts.parquet"),  # type: ignore[misc]
        )
