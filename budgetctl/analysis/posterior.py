"""Samples surfaces given scores: a hierarchical Bayesian regression with non-negative coefficients.

For group g (one base model on one task), with features x and scores y,

    y = x θ_g + d_g(place) + e,   e ~ N(0, s² / weight),   d_g ~ GP(0, v² K)
    θ_g ~ N(m_task, between²) restricted to ≥ 0 (but the constant),   m_task ~ N(m, tasks²),   m ~ N(prior)

d is what the saturating terms cannot follow; K is squared exponential over `surface.places`. The
deviations s and v are learned, with inverse gamma priors. A Gibbs sampler runs many chains side by
side: θ with d integrated out, then d, then s and v, then the means. Everything is conjugate, so there
are no step sizes to tune. Chains start at the prior's means and forget them in a few sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from budgetctl.analysis import surface
from budgetctl.analysis.cells import FloatArray
from budgetctl.analysis.truncated import sample_above_zero


@dataclass(frozen=True, slots=True)
class Group:
    """Scores of one base model on one task.

    Attributes:
        task_index: which task it is; groups of one task share a mean surface.
        n_sft, n_pft, score: shape (n,).
        weight: shape (n,), precision relative to one run on a usual test set.
    """

    task_index: int
    n_sft: FloatArray
    n_pft: FloatArray
    score: FloatArray
    weight: FloatArray


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before any score is seen, in units of a score between 0 and 1.

    Attributes:
        mean: shape (TERMS,), coefficients of the general surface.
        mean_sd: how far the general surface may lie from that.
        task_sd: how far a task's surface may lie from the general one.
        base_sd: how far a base model's surface may lie from its task's.
        constant_sd: the same for the base model's score, at all levels.
        noise_sd, misfit_sd: likely sizes of s and v.
        noise_df, misfit_df: how many observations these guesses are worth.
        length: distance in `surface.places` over which the misfit changes.
    """

    mean: tuple[float, ...]
    mean_sd: float = 0.08
    task_sd: float = 0.06
    base_sd: float = 0.05
    constant_sd: float = 0.3
    noise_sd: float = 0.012
    noise_df: float = 6.0
    misfit_sd: float = 0.02
    misfit_df: float = 6.0
    length: float = 1.5


@dataclass(frozen=True, slots=True)
class Draws:
    """Samples of everything that is not known.

    Attributes:
        theta: shape (draws, groups, TERMS).
        task_mean: shape (draws, tasks, TERMS).
        general_mean: shape (draws, TERMS).
        misfit: per group, shape (draws, n), d at the group's own places.
        noise_sd, misfit_sd: shape (draws,).
    """

    theta: FloatArray
    task_mean: FloatArray
    general_mean: FloatArray
    misfit: tuple[FloatArray, ...]
    noise_sd: FloatArray
    misfit_sd: FloatArray


@dataclass(frozen=True, slots=True)
class _Rotated:
    """A group in coordinates in which the misfit's covariance is diagonal."""

    score: FloatArray
    features: FloatArray
    values: FloatArray
    back: FloatArray


def kernel(first: FloatArray, second: FloatArray, length: float) -> FloatArray:
    """Squared exponential covariance between places, shapes (n, 2) and (m, 2) → (n, m)."""
    square = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-0.5 * square / length**2), dtype=np.float64)


def _rotate(group: Group, prior: Prior) -> _Rotated:
    where = surface.places(group.n_sft, group.n_pft)
    root = np.sqrt(group.weight)
    covariance = kernel(where, where, prior.length) * root[:, None] * root[None, :]
    values, vectors = np.linalg.eigh(covariance)
    return _Rotated(
        score=vectors.T @ (root * group.score),
        features=vectors.T @ (root[:, None] * surface.features(group.n_sft, group.n_pft)),
        values=np.maximum(values, 1e-9),
        back=vectors / root[:, None],
    )


def sample(
    groups: Sequence[Group],
    prior: Prior,
    *,
    tasks: int,
    chains: int = 200,
    sweeps: int = 70,
    keep_every: int = 10,
    seed: int = 0,
) -> Draws:
    """Runs the sampler; the second half of the sweeps is kept, every `keep_every`-th.

    Args:
        groups: what was measured, at least one group.
        prior: see `Prior`.
        tasks: number of distinct `task_index` values.
        chains: independent chains.
        sweeps: updates of everything, per chain.
        keep_every: distance between kept sweeps.
        seed: of the random numbers; the same seed gives the same draws.
    """
    sampler = _Sampler([_rotate(group, prior) for group in groups], groups, prior, tasks, chains, seed)
    kept = []
    for sweep in range(sweeps):
        sampler.step()
        if sweep >= sweeps // 2 and (sweeps - 1 - sweep) % keep_every == 0:
            kept.append(sampler.state())
    return Draws(
        theta=np.concatenate([state.theta for state in kept]),
        task_mean=np.concatenate([state.task_mean for state in kept]),
        general_mean=np.concatenate([state.general_mean for state in kept]),
        misfit=tuple(np.concatenate(parts) for parts in zip(*(state.misfit for state in kept), strict=True)),
        noise_sd=np.concatenate([state.noise_sd for state in kept]),
        misfit_sd=np.concatenate([state.misfit_sd for state in kept]),
    )


class _Sampler:
    """The state of all chains and the conditional draws."""

    def __init__(
        self,
        rotated: Sequence[_Rotated],
        groups: Sequence[Group],
        prior: Prior,
        tasks: int,
        chains: int,
        seed: int,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.rotated = rotated
        self.prior = prior
        self.task_of = np.array([group.task_index for group in groups])
        self.tasks = tasks
        prior_mean = np.asarray(prior.mean, dtype=np.float64)
        self.prior_mean = prior_mean
        self.general = np.tile(prior_mean, (chains, 1))
        self.task_mean = np.tile(prior_mean, (chains, tasks, 1))
        self.theta = np.tile(np.maximum(prior_mean, 0.0), (chains, len(groups), 1))
        self.noise = np.full(chains, prior.noise_sd**2)
        self.spread = np.full(chains, prior.misfit_sd**2)
        self.misfit = [np.zeros((chains, len(part.score))) for part in rotated]

    def step(self) -> None:
        """Updates everything once."""
        for index, part in enumerate(self.rotated):
            self._update_theta(index, part)
            self._update_misfit(index, part)
        self._update_deviations()
        self._update_means()

    def state(self) -> Draws:
        """A copy of the chains, with the misfit turned back to the measured places."""
        turned = [misfit @ part.back.T for misfit, part in zip(self.misfit, self.rotated, strict=True)]
        return Draws(
            self.theta.copy(),
            self.task_mean.copy(),
            self.general.copy(),
            tuple(turned),
            np.sqrt(self.noise),
            np.sqrt(self.spread),
        )

    def _sds(self, size: float) -> FloatArray:
        sds = np.full(surface.TERMS, size)
        sds[0] = self.prior.constant_sd
        return sds

    def _update_theta(self, index: int, part: _Rotated) -> None:
        """Each coefficient given the others, twice round, with the misfit integrated out."""
        precision = 1.0 / (self.spread[:, None] * part.values + self.noise[:, None])
        weighted = precision[:, :, None] * part.features[None]
        gram = np.matmul(part.features.T[None], weighted)
        target = np.einsum("cnk,n->ck", weighted, part.score)
        pull = 1.0 / self._sds(self.prior.base_sd) ** 2
        mean = self.task_mean[:, self.task_of[index]]
        theta = self.theta[:, index]
        for term in (*range(surface.TERMS), *reversed(range(surface.TERMS))):
            own = gram[:, term, term]
            rest = np.einsum("ck,ck->c", gram[:, term], theta) - own * theta[:, term]
            total = own + pull[term]
            centre = (target[:, term] - rest + pull[term] * mean[:, term]) / total
            sd = 1.0 / np.sqrt(total)
            if term == 0:
                theta[:, term] = centre + sd * self.rng.standard_normal(len(centre))
            else:
                theta[:, term] = sample_above_zero(self.rng, centre, sd)

    def _update_misfit(self, index: int, part: _Rotated) -> None:
        residual = part.score - self.theta[:, index] @ part.features.T
        before = self.spread[:, None] * part.values
        gain = before / (before + self.noise[:, None])
        sd = np.sqrt(gain * self.noise[:, None])
        self.misfit[index] = gain * residual + sd * self.rng.standard_normal(residual.shape)

    def _update_deviations(self) -> None:
        squares = np.zeros_like(self.noise)
        sizes = np.zeros_like(self.spread)
        count = 0
        for index, part in enumerate(self.rotated):
            residual = part.score - self.theta[:, index] @ part.features.T - self.misfit[index]
            squares += (residual**2).sum(axis=1)
            sizes += (self.misfit[index] ** 2 / part.values).sum(axis=1)
            count += len(part.score)
        prior = self.prior
        self.noise = self._inverse_gamma(prior.noise_df + count, prior.noise_df * prior.noise_sd**2 + squares)
        self.spread = self._inverse_gamma(
            prior.misfit_df + count, prior.misfit_df * prior.misfit_sd**2 + sizes
        )

    def _inverse_gamma(self, df: float, scale: FloatArray) -> FloatArray:
        return np.asarray(scale / self.rng.chisquare(df, size=len(scale)), dtype=np.float64)

    def _update_means(self) -> None:
        base, task = self._sds(self.prior.base_sd) ** 2, self._sds(self.prior.task_sd) ** 2
        for index in range(self.tasks):
            members = self.theta[:, self.task_of == index]
            precision = members.shape[1] / base + 1.0 / task
            centre = (members.sum(axis=1) / base + self.general / task) / precision
            self.task_mean[:, index] = self._normal(centre, precision)
        top = self._sds(self.prior.mean_sd) ** 2
        precision = self.tasks / task + 1.0 / top
        centre = (self.task_mean.sum(axis=1) / task + self.prior_mean / top) / precision
        self.general = self._normal(centre, precision)

    def _normal(self, centre: FloatArray, precision: FloatArray) -> FloatArray:
        drawn = centre + self.rng.standard_normal(centre.shape) / np.sqrt(precision)
        return np.asarray(drawn, dtype=np.float64)
