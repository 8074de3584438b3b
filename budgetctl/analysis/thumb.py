"""The rule of thumb, for when the data say nothing.

It restates the findings of "Balancing the Budget" (Raghavendra, Kang and Ritter, ACL 2025): SFT alone is
best below 1,000 annotated examples; above, a mix is, with a growing part for preference data; and
preference finetuning straight on the base model does badly, on mathematics above all (the cold start).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

RULE = "SFT only below 1,000 examples, share 0.75 below 5,000, 0.5 below 10,000, 0.25 from there on"
_STEPS = ((1_000, 1.0), (5_000, 0.75), (10_000, 0.5))
_LARGE = 0.25
_REASONING = re.compile(r"gsm|math|arith|aime|svamp|asdiv|algebra", re.IGNORECASE)


def thumb_share(rows: float, shares: Sequence[float]) -> float:
    """The share on the menu nearest to the rule's, never 0 unless nothing else is offered.

    Args:
        rows: annotated examples that the budget pays for.
        shares: the menu, not empty.
    """
    wanted = next((share for limit, share in _STEPS if rows < limit), _LARGE)
    menu = [share for share in shares if share > 0] or list(shares)
    return min(menu, key=lambda share: (abs(share - wanted), -share))


def needs_warm_start(task: str) -> bool:
    """Whether the task is one of step-by-step reasoning, by its name, where share 0 is never advised."""
    return _REASONING.search(task) is not None
