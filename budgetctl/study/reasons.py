"""Why a planned stage is not in the store: how it differs from the artifact that comes nearest."""

from __future__ import annotations

from budgetctl.study.plan import Plan
from budgetctl.study.state import PlanState, StageState
from store import Store
from store.explain import Difference, Explainer

_SHOWN = 3


def reasons(plan: Plan, store: Store, state: PlanState) -> str:
    """One line for each missing stage; stages that differ by the same fields share a line."""
    explainer = Explainer(store, plan.stages)
    grouped: dict[tuple[str, str], list[str]] = {}
    for key, found in state.stages.items():
        if found is StageState.HIT:
            continue
        payload = plan.stages[key]
        explanation = explainer.why(payload)
        if explanation.nearest is None:
            reason = f"the store has no {payload.stage} yet"
        else:
            reason = f"nearest {explanation.nearest[:12]}: {_told(explanation.differences)}"
        grouped.setdefault((payload.stage, reason), []).append(key[:12])
    return "\n".join(
        f"missing {stage} {', '.join(keys[:_SHOWN])}{f' and {len(keys) - _SHOWN} more' if len(keys) > _SHOWN else ''}: "
        f"{reason}"
        for (stage, reason), keys in grouped.items()
    )


def _told(differences: tuple[Difference, ...]) -> str:
    shown = [
        f"{found.place} {_short(found.left)} instead of {_short(found.right)}"
        for found in differences[:_SHOWN]
    ]
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return "; ".join(shown) + more


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
