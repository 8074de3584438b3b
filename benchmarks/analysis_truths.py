"""Made-up truths for the allocation model: surfaces with a known optimum, of another family than its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from budgetctl.analysis.results_file import Observation
from budgetctl.study.budget import Prices, split_budget

BUDGETS = (100, 500, 1_000, 5_000, 10_000, 20_000)
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
NOISE = 0.015  # a thousand-odd test items (0.013) and another training seed


@dataclass(frozen=True)
class Truth:
    """Stretched exponentials: SFT lifts, pairs lift on what SFT prepared and partly repeat its gain."""

    base: float
    sft_gain: float
    sft_scale: float
    sft_power: float
    pft_gain: float
    pft_scale: float
    pft_power: float
    warm_scale: float
    cold_part: float
    overlap: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Truth:
        return cls(
            base=rng.uniform(0.1, 0.5),
            sft_gain=rng.uniform(0.05, 0.4),
            sft_scale=10 ** rng.uniform(2, 3.5),
            sft_power=rng.uniform(0.5, 1.3),
            pft_gain=rng.uniform(0.02, 0.3),
            pft_scale=10 ** rng.uniform(2.7, 4),
            pft_power=rng.uniform(0.6, 1.2),
            warm_scale=10 ** rng.uniform(1.7, 3),
            cold_part=rng.choice([0.1, 0.4, 0.9]),
            overlap=rng.uniform(0.0, 0.6),
        )

    def score(self, n_sft: np.ndarray, n_pft: np.ndarray) -> np.ndarray:
        sft = 1 - np.exp(-((n_sft / self.sft_scale) ** self.sft_power))
        pft = 1 - np.exp(-((n_pft / self.pft_scale) ** self.pft_power))
        warm = self.cold_part + (1 - self.cold_part) * (1 - np.exp(-n_sft / self.warm_scale))
        gain = self.sft_gain * sft + self.pft_gain * pft * warm
        return self.base + gain - self.overlap * min(self.sft_gain, self.pft_gain) * sft * pft * warm


def rows(budget: float, shares: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    splits = [split_budget(budget, share, Prices()) for share in shares]
    return np.array([s.n_sft for s in splits], float), np.array([s.n_pft for s in splits], float)


def measure(
    truth: Truth,
    task: str,
    cells: Sequence[tuple[int, float]],
    rng: np.random.Generator,
    noise: float = NOISE,
) -> list[Observation]:
    found = []
    for budget, share in cells:
        n_sft, n_pft = rows(budget, [share])
        score = float(truth.score(n_sft, n_pft)[0] + noise * rng.standard_normal())
        found.append(Observation("made-up", task, budget, share, int(n_sft[0]), int(n_pft[0]), score))
    return found
