"""Whether the sources hold the rows that a study's cells buy: asked in the plan, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from budgetctl.data.errors import ShortageError
from budgetctl.data.layouts import Kind
from budgetctl.data.sources import AnySource, HubDataset
from budgetctl.errors import UsageError
from budgetctl.stages.data import DataIdentity
from budgetctl.study.plan import Plan
from store import Store

if TYPE_CHECKING:
    from budgetctl.data.pool import Pool
    from budgetctl.data.prepare import Order

MOST_SHOWN = 12


def require_rows(plan: Plan, store: Store) -> None:
    """Refuse a plan with cells whose rows cannot be had. Rows that are published already need no look.

    Sources are read once each; with `overlap: disjoint` both sides of a cell must fit into them together.

    Raises:
        UsageError: With one sentence per cell that cannot be had.
    """
    data = [key for key, payload in plan.stages.items() if payload.stage == "data"]
    present = store.many_has(data)
    missing = {key for key in data if not present[key]}
    if not missing:
        return
    counter = _RowCounter({digest: Path(path) for digest, path in plan.sources.items()})
    wanted = {
        key for cell in plan.cells for role, key in cell.stages.items() if role in ("sft-data", "pft-data")
    }
    reasons = {
        key: counter.shortage(DataIdentity.model_validate(plan.stages[key].identity))
        for key in wanted & missing
    }
    problems = []
    for cell in plan.cells:
        for role in ("sft-data", "pft-data"):
            reason = reasons.get(cell.stages.get(role, ""))
            if reason:
                problems.append(f"{cell.name} cannot be had: {reason}")
    if problems:
        listed, more = problems[:MOST_SHOWN], len(problems) - MOST_SHOWN
        listed += [f"… and {more} more cells"] if more > 0 else []
        raise UsageError("\n".join([*listed, "lower the budget, or leave these cells out of the grid"]))


class _RowCounter:
    """Cuts rows as the data stages will, reading each source once and writing nothing."""

    def __init__(self, located: Mapping[str, Path]) -> None:
        self._located = located
        self._pools: dict[str, Pool] = {}
        self._rankings: dict[tuple[str, Order], list[int]] = {}

    def shortage(self, wanted: DataIdentity) -> str:
        """Why the rows cannot be had, or an empty text.

        A hub dataset that is not here yet is not asked, and what a budget in tokens buys is known to the data stage.
        """
        from budgetctl.data.prepare import Order, require_apart  # noqa: PLC0415

        side = wanted.apart_from
        if not self._here(wanted.source) or (side is not None and not self._here(side.source)):
            return ""
        order = Order(wanted.seed, wanted.end, wanted.answers)
        try:
            taken = self._prompts(wanted.source, wanted.kind, wanted.held_out, wanted.size, order)
            if side is not None and wanted.size is not None and side.size is not None:
                front = replace(order, end="front")
                require_apart(
                    taken, self._prompts(side.source, "sft", wanted.held_out, side.size, front), side.size
                )
        except ShortageError as error:
            return str(error)
        return ""

    def _prompts(
        self, source: AnySource, kind: Kind, held_out: AnySource | None, size: int | None, order: Order
    ) -> list[str]:
        """Prompts of the first rows of a ranking, which is made once for all sizes."""
        from budgetctl.data.prepare import cut  # noqa: PLC0415

        pool = self._pool(source, kind, held_out)
        name = (f"{kind} {source.model_dump_json()} {held_out}", order)
        if name not in self._rankings or (size is not None and size > len(pool)):
            cut(pool, kind, size, order, source.title)  # says what is missing
            self._rankings[name] = cut(pool, kind, None, order, source.title)
        return [pool.prompt_ids[row] for row in self._rankings[name][:size]]

    def _here(self, source: AnySource) -> bool:
        return not isinstance(source, HubDataset) or source.name in self._located

    def _pool(self, source: AnySource, kind: Kind, held_out: AnySource | None) -> Pool:
        from budgetctl.data.pool import held_out_prompts, load_pool  # noqa: PLC0415

        stored: Kind = "pref" if kind == "unpaired" else kind
        name = f"{stored} {source.model_dump_json()}"
        if name not in self._pools:
            known = held_out is not None and self._here(held_out)
            keep_out = held_out_prompts(held_out, self._located) if held_out and known else frozenset[str]()
            self._pools[name] = load_pool(source, stored, "train", self._located, keep_out)
        return self._pools[name]
