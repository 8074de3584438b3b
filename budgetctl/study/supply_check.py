"""Whether the sources hold the rows that a study's cells buy: asked in the plan, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from budgetctl.errors import UsageError
from budgetctl.stages.data import DataIdentity
from budgetctl.study.plan import Plan
from store import Store

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
    problems = []
    for cell in plan.cells:
        for role in ("sft-data", "pft-data"):
            key = cell.stages.get(role)
            if key in missing:
                reason = counter.shortage(DataIdentity.model_validate(plan.stages[key].identity))
                if reason:
                    problems.append(f"{cell.name} cannot be had: {reason}")
    if problems:
        listed, more = problems[:MOST_SHOWN], len(problems) - MOST_SHOWN
        listed += [f"… and {more} more cells"] if more > 0 else []
        raise UsageError("\n".join([*listed, "lower the budget, or leave these cells out of the grid"]))


class _RowCounter:
    """Counts usable rows per source and kind, reading each source once."""

    def __init__(self, located: Mapping[str, Path]) -> None:
        self._located = located
        self._ids: dict[str, list[str]] = {}

    def shortage(self, wanted: DataIdentity) -> str:
        """Why the rows are too few, or an empty text."""
        from budgetctl.data.layouts import KIND_NAMES  # noqa: PLC0415

        assert wanted.size is not None
        ids = self._prompt_ids(wanted)
        if wanted.size > len(ids):
            return f"it needs {wanted.size} {KIND_NAMES[wanted.kind]} and {wanted.source.source} has {len(ids)}"
        if wanted.apart_from is None:
            return ""
        both = set(ids) | set(self._prompt_ids(wanted.model_copy(update={"kind": "sft"})))
        needed = wanted.size + wanted.apart_from.size
        if needed > len(both):
            return (
                f"overlap: disjoint needs {wanted.apart_from.size} prompts for SFT and {wanted.size} others for "
                f"preferences, and {wanted.source.source} has {len(both)}"
            )
        return ""

    def _prompt_ids(self, wanted: DataIdentity) -> list[str]:
        from budgetctl.data.pool import held_out_prompts, load_pool  # noqa: PLC0415

        kind = "pref" if wanted.kind == "unpaired" else wanted.kind
        name = f"{kind} {wanted.source.model_dump_json()}"
        if name not in self._ids:
            keep_out = held_out_prompts(wanted.source, self._located)
            pool = load_pool(wanted.source, kind, "train", self._located, keep_out)
            self._ids[name] = list(pool.prompt_ids)
        return self._ids[name]
