"""How often 95 % intervals of a score hold the truth, and how long they are: few prompts, several answers each.

    python benchmarks/interval_coverage.py --evaluations 1000

Each prompt's chance of a right answer is drawn from a Beta distribution, then its answers. Compared are a plain
bootstrap over prompts, the share of verdicts (`scoring.clustered`), and the smoothed bootstrap that pass@k uses (here
for k = 1).
"""

import argparse

import numpy as np

from budgetctl.scoring.bootstrap import percentile_interval, resampled_ratios, smoothed_means
from budgetctl.scoring.clustered import clustered_share
from budgetctl.scoring.intervals import Interval

RESAMPLES = 1000
SITUATIONS = (
    (2, 8, (0.5, 0.5)),
    (5, 2, (0.2, 1.8)),
    (5, 64, (2.0, 2.0)),
    (10, 8, (0.2, 1.8)),
    (24, 8, (0.5, 0.5)),
    (24, 64, (0.05, 0.95)),
    (100, 8, (0.2, 1.8)),
)
"""Prompts, answers to each, and the two parameters of the Beta distribution."""


def intervals(right: np.ndarray, answers: int) -> tuple[Interval, Interval, Interval]:
    """Of one evaluation, by the three methods."""
    counts = np.full(len(right), float(answers))
    return (
        percentile_interval(resampled_ratios(right, counts, RESAMPLES, 0), 0.95),
        clustered_share(right, counts).interval,
        percentile_interval(smoothed_means(right / answers, 0.0, 1.0, RESAMPLES, 0), 0.95),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=1000)
    evaluations = parser.parse_args().evaluations
    random = np.random.default_rng(0)
    print("| prompts | answers | chances | resampled | share of verdicts | smoothed bootstrap |")
    print("| ---: | ---: | --- | ---: | ---: | ---: |")
    for prompts, answers, shape in SITUATIONS:
        truth = shape[0] / sum(shape)
        held, widths = np.zeros(3), np.zeros(3)
        for _ in range(evaluations):
            right = random.binomial(answers, random.beta(*shape, prompts)).astype(float)
            found = intervals(right, answers)
            held += [truth in interval for interval in found]
            widths += [interval.high - interval.low for interval in found]
        cells = " | ".join(
            f"{share:.2f} ({width:.2f})"
            for share, width in zip(held / evaluations, widths / evaluations, strict=True)
        )
        print(f"| {prompts} | {answers} | Beta({shape[0]:g}, {shape[1]:g}) | {cells} |")


if __name__ == "__main__":
    main()
