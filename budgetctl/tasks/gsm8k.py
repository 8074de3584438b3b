"""GSM8K: grade-school word problems in the layout of their original files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from budgetctl.tasks.final_number import final_number, same_number

_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")


def without_calculator_marks(answer: str) -> str:
    """Remove the `<<48/2=24>>` annotations of the original files."""
    return _CALCULATOR_MARK.sub("", answer)


class Gsm8kTask:
    """Scores the number on the last line, after `####`."""

    name = "gsm8k"
    system_prompt = (
        "Solve the problem one step at a time, each step on a line of its own. "
        "Finish with a last line that holds only #### and the final number."
    )
    max_new_tokens = 512
    primary_metric = "strict"
    scorer_version = 1

    def score(self, text: str, reference: str, truncated: bool) -> Mapping[str, float]:
        """`strict`: the last line is `#### n` with the right n, in an answer that was not cut off."""
        found = None if truncated else final_number(text)
        correct = found is not None and same_number(found, reference)
        return {"strict": float(correct), "answered": float(found is not None)}
