"""The allocation model: what score a split of the budget would reach, fitted to the scores there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from budgetctl.analysis import surface
from budgetctl.analysis.cells import FloatArray
from budgetctl.analysis.posterior import Draws, Group, Prior, kernel, sample
from budgetctl.analysis.results_file import Observation

GroupName = tuple[str, str, str]
_KERNEL_JITTER = 1e-6


@dataclass(frozen=True, slots=True)
class Effort:
    """How long the sampler runs; the default takes about a second for a few tasks on one core."""

    chains: int = 80
    sweeps: int = 72


@dataclass(frozen=True, slots=True)
class _Unit:
    """Scores are fitted as (score - offset) / scale, so that the prior's sizes fit any metric."""

    offset: float
    scale: float
    bounded: bool


class AllocationModel:
    """Samples of score surfaces, one per (base model, task, method), that agree with the observations."""

    def __init__(self, groups: dict[GroupName, Group], draws: Draws, prior: Prior, unit: _Unit) -> None:
        self._groups = groups
        self._index = {name: index for index, name in enumerate(groups)}
        self._draws = draws
        self._prior = prior
        self._unit = unit

    @classmethod
    def fit(
        cls,
        observations: Sequence[Observation],
        prior: Prior | None = None,
        *,
        effort: Effort | None = None,
        seed: int = 0,
    ) -> AllocationModel:
        """Fits all observations at once, so that tasks and base models learn from one another.

        Args:
            observations: at least one.
            prior: see `Prior`.
            effort: see `Effort`.
            seed: of the sampler; the same seed gives the same model.

        Raises:
            ValueError: there is no observation.
        """
        if not observations:
            raise ValueError("the allocation model needs at least one observation")
        prior, effort = prior or Prior(), effort or Effort()
        unit = _unit_of(observations)
        groups = _groups_of(observations, unit)
        draws = sample(list(groups.values()), prior, chains=effort.chains, sweeps=effort.sweeps, seed=seed)
        return cls(groups, draws, prior, unit)

    @property
    def groups(self) -> tuple[GroupName, ...]:
        """The (base, task, method) triples with observations."""
        return tuple(self._groups)

    @property
    def noise_sd(self) -> float:
        """Typical deviation of one measured score from the surface, in units of the score."""
        return float(np.mean(self._draws.noise_sd)) * self._unit.scale

    def score_draws(self, group: GroupName, n_sft: npt.ArrayLike, n_pft: npt.ArrayLike) -> FloatArray:
        """Plausible true scores (without measurement noise) at given numbers of rows.

        Args:
            group: one of `groups`.
            n_sft: shape (n,).
            n_pft: shape (n,).

        Returns:
            Shape (draws, n). Rows belong together: differences between columns are meaningful.
        """
        index, data = self._index[group], self._groups[group]
        mean = self._draws.theta[:, index] @ surface.features(n_sft, n_pft).T
        there, here = surface.places(n_sft, n_pft), surface.places(data.n_sft, data.n_pft)
        length = self._prior.length
        known = kernel(here, here, length) + _KERNEL_JITTER * np.eye(len(here))
        cross = kernel(there, here, length)
        weights = np.linalg.solve(known, cross.T).T
        left = kernel(there, there, length) - weights @ cross.T
        values, vectors = np.linalg.eigh((left + left.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        fresh = np.random.default_rng(index).standard_normal(mean.shape) @ root.T
        misfit = self._draws.misfit[index] @ weights.T + self._draws.misfit_sd[:, None] * fresh
        score = mean + misfit
        if self._unit.bounded:
            score = np.clip(score, 0.0, 1.0)
        return np.asarray(score * self._unit.scale + self._unit.offset, dtype=np.float64)

    def measured_budgets(self, group: GroupName) -> tuple[float, float]:
        """Smallest and largest number of rows with an observation; the untrained model does not count."""
        rows = self._groups[group].n_sft + self._groups[group].n_pft
        trained = rows[rows > 0]
        return (float(trained.min()), float(trained.max())) if len(trained) else (0.0, 0.0)


def _unit_of(observations: Sequence[Observation]) -> _Unit:
    scores = np.array([observation.score for observation in observations])
    if scores.min() >= 0.0 and scores.max() <= 1.0:
        return _Unit(0.0, 1.0, bounded=True)
    if scores.min() >= 0.0 and scores.max() <= 100.0:
        return _Unit(0.0, 100.0, bounded=True)
    return _Unit(float(scores.min()), float(np.ptp(scores)) or 1.0, bounded=False)


def _groups_of(observations: Sequence[Observation], unit: _Unit) -> dict[GroupName, Group]:
    """Averages seeds; weights count runs and, where known, test items relative to the median."""
    members: dict[GroupName, dict[tuple[int, int], list[Observation]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for one in observations:
        members[one.base, one.task, one.method][one.n_sft, one.n_pft].append(one)
    counts = [one.n_items for one in observations if one.n_items]
    usual = float(np.median(counts)) if counts else 1.0
    tasks = {task: index for index, task in enumerate(dict.fromkeys((name[1], name[2]) for name in members))}
    groups = {}
    for name, places in members.items():
        means, weights, scatter = [], [], 0.0
        for replicates in places.values():
            weight = np.array([(one.n_items or usual) / usual for one in replicates])
            score = np.array([(one.score - unit.offset) / unit.scale for one in replicates])
            means.append(float(np.average(score, weights=weight)))
            weights.append(float(weight.sum()))
            scatter += float((weight * (score - means[-1]) ** 2).sum())
        rows = np.array(list(places), dtype=np.float64)
        groups[name] = Group(
            task_index=tasks[name[1], name[2]],
            n_sft=rows[:, 0],
            n_pft=rows[:, 1],
            score=np.array(means),
            weight=np.array(weights),
            scatter=scatter,
            scatter_df=sum(len(replicates) - 1 for replicates in places.values()),
        )
    return groups
