"""How often noise decides where a run is forked, under several rules; prints markdown.

python benchmarks/fork_rules.py [runs]

A run's metrics never change: 64 dev rows, 12 evaluations; per row the loss is gamma distributed (skewed to the right)
and moves by 10 % from one evaluation to the next; per prompt four answers are drawn anew, right with a chance that
differs between prompts, 0.2 on average.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from budgetctl.forking.noise import share_gain, surely_at_least, surely_at_most

ROWS, EVALUATIONS, SAMPLES, SHARE = 64, 12, 4, 0.2
RULES = {"point estimate": 0.4999, "0.9 at each evaluation": 0.1, "0.9 for the run": 0.1 / EVALUATIONS}
Table = NDArray[np.float64]


def losses(random: np.random.Generator) -> list[Table]:
    """Per evaluation (loss, tokens) of each row; perplexity is e."""
    tokens = random.integers(5, 60, ROWS).astype(float)
    hardness = random.gamma(3.0, 1 / 3.0, ROWS)
    moved = 1 + 0.1 * random.standard_normal((EVALUATIONS, ROWS))
    return [np.stack([row, tokens], axis=1) for row in tokens * hardness * moved]


def shares(random: np.random.Generator) -> list[Table]:
    """Per evaluation the share of right answers to each prompt; the mean is `SHARE`."""
    hardness = random.beta(SHARE, 1 - SHARE, ROWS)
    return list(random.binomial(SAMPLES, hardness, (EVALUATIONS, ROWS)) / SAMPLES)


def plateau_at(curve: Sequence[Table], error: float, patience: int = 3) -> int:
    """The evaluation at which the plateau fires; beyond the last if it does not."""
    best, without = curve[0], 0
    for number, now in enumerate(curve[1:], start=1):
        _, beyond = share_gain(best.tolist(), now.tolist(), error)
        best, without = (now, 0) if beyond else (best, without + 1)
        if without == patience:
            return number
    return EVALUATIONS


def rate(runs: Sequence[list[Table]], happens: Callable[[list[Table]], bool]) -> str:
    """Share of runs in which something happens."""
    return f"{sum(map(happens, runs)) / len(runs):.3f}"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    random = np.random.default_rng(3)
    on_losses = [losses(random) for _ in range(count)]
    on_shares = [shares(random) for _ in range(count)]
    print(f"Share of {count:,} flat runs.\n")
    print("| rule | " + " | ".join(RULES) + " |\n|---|" + "---:|" * len(RULES))

    def line(what: str, runs: Sequence[list[Table]], test: Callable[[list[Table], float], bool]) -> None:
        found = [rate(runs, lambda run, error=error: test(run, error)) for error in RULES.values()]
        print(f"| {what} | {' | '.join(found)} |", flush=True)

    def below(threshold: float) -> Callable[[list[Table], float], bool]:
        return lambda run, error: any(surely_at_most(seen, threshold, error) for seen in run)  # type: ignore[arg-type]

    def above(threshold: float) -> Callable[[list[Table], float], bool]:
        return lambda run, error: any(
            surely_at_least(seen.tolist(), threshold, error, SAMPLES) for seen in run
        )

    line("fires perplexity ≤ the truth", on_losses, below(math.e))
    line("fires perplexity ≤ 0.95 × the truth", on_losses, below(0.95 * math.e))
    line("fires pass@1 ≥ the truth, 0.2", on_shares, above(SHARE))
    line("fires pass@1 ≥ 0.25", on_shares, above(0.25))
    line(
        "plateau of pass@1 fires at its first chance",
        on_shares,
        lambda run, error: plateau_at(run, error) == 3,
    )
    line("… has not fired at twice that", on_shares, lambda run, error: plateau_at(run, error) > 6)


if __name__ == "__main__":
    main()
