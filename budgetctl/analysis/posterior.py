"""Samples surfaces given scores: a hierarchical Bayesian regression with non-negative coefficients.

For group g (one base model on one task), with features x and scores y,

    y = x θ_g + d_g(place) + e,   e ~ N(0, s² / weight),   d_g ~ GP(0, v² K)
    θ_gj ~ Exponential(rate r_gj),  r_gj ~ Gamma(shape, rate q_tj),  q_tj ~ Gamma(shape, rate p_j)

and p_j ~ Gamma around the prior. Most coefficients are near zero and a few are large; which ones, groups
on one task and tasks among themselves learn together. The constant is normal. d is what the saturating
terms cannot follow; K is squared exponential over `surface.places`. The deviations s and v are learned,
with scaled inverse chi-square priors.

A Gibbs sampler runs many chains side by side: θ with d integrated out, then d, then s and v, then the
rates. Every step is conjugate, so there are no step sizes to tune.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from budgetctl.analysis import surface
from budgetctl.analysis.cells import FloatArray
from budgetctl.analysis.truncated import sample_above_zero

_JITTER = 1e-9


@dataclass(frozen=True, slots=True)
class Group:
    """Scores of one base model on one task, one entry a place.

    Attributes:
        task_index: which task it is.
        n_sft, n_pft, score: shape (n,); the mean over seeds where there are several.
        weight: shape (n,), precision relative to one run on the usual test set.
        scatter: weighted sum of squares of the seeds about their means.
        scatter_df: its degrees of freedom.
    """

    task_index: int
    n_sft: FloatArray
    n_pft: FloatArray
    score: FloatArray
    weight: FloatArray
    scatter: float = 0.0
    scatter_df: int = 0


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before any score is seen, in units of a score between 0 and 1.

    Attributes:
        gains: shape (GAINS,), expected coefficients.
        base_shape, task_shape, top_shape: how alike the rates of one level are; higher is more alike.
        constant, constant_sd: the untrained model's score.
        noise_sd, misfit_sd: likely sizes of s and v.
        noise_df, misfit_df: how many observations these guesses are worth.
        length: distance in `surface.places` over which the misfit changes.
    """

    gains: tuple[float, ...] = field(default_factory=lambda: surface.expected_gains(0.2, 0.1, 0.1))
    base_shape: float = 2.0
    task_shape: float = 2.0
    top_shape: float = 3.0
    constant: float = 0.3
    constant_sd: float = 0.3
    noise_sd: float = 0.015
    noise_df: float = 6.0
    misfit_sd: float = 0.02
    misfit_df: float = 10.0
    length: float = 1.5


@dataclass(frozen=True, slots=True)
class Draws:
    """Samples of what is not known.

    Attributes:
        theta: shape (draws, groups, TERMS).
        misfit: per group, shape (draws, n), d at the group's own places.
        noise_sd, misfit_sd: shape (draws,).
    """

    theta: FloatArray
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


def sample(
    groups: Sequence[Group],
    prior: Prior,
    *,
    chains: int = 80,
    sweeps: int = 72,
    keep_every: int = 6,
    seed: int = 0,
) -> Draws:
    """Runs the sampler; of the second half of the sweeps every `keep_every`-th is kept.

    Args:
        groups: what was measured, at least one group.
        prior: see `Prior`.
        chains: independent chains.
        sweeps: updates of everything, per chain.
        keep_every: distance between kept sweeps.
        seed: of the random numbers; the same seed gives the same draws.
    """
    sampler = _Sampler(groups, prior, chains, seed)
    kept = []
    for sweep in range(sweeps):
        sampler.step()
        if sweep >= sweeps // 2 and (sweeps - 1 - sweep) % keep_every == 0:
            kept.append(sampler.state())
    return Draws(
        theta=np.concatenate([state.theta for state in kept]),
        misfit=tuple(np.concatenate(parts) for parts in zip(*(state.misfit for state in kept), strict=True)),
        noise_sd=np.concatenate([state.noise_sd for state in kept]),
        misfit_sd=np.concatenate([state.misfit_sd for state in kept]),
    )


class _Sampler:
    """The state of all chains and the conditional draws."""

    def __init__(self, groups: Sequence[Group], prior: Prior, chains: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.groups = groups
        self.prior = prior
        self.rotated = [_rotate(group, prior) for group in groups]
        task_of = np.array([group.task_index for group in groups])
        self.task_of = np.unique(task_of, return_inverse=True)[1]
        self.tasks = int(self.task_of.max()) + 1
        gains = np.asarray(prior.gains, dtype=np.float64)
        # With mean shapes 2 each level keeps the scale: E[θ] ~ q / (shape - 1), E[q] = shape / p.
        self.top_rate = gains * (prior.base_shape - 1.0) / prior.task_shape * (prior.top_shape - 1.0)
        start = gains * self.rng.gamma(2.0, 0.5, size=(chains, len(groups), surface.GAINS))
        constant = np.full((chains, len(groups), 1), prior.constant)
        self.theta = np.concatenate([constant, start], axis=-1)
        self.rates = 1.0 / start
        self.task_rates = np.ones((chains, self.tasks, 1)) * gains
        self.noise = np.full(chains, prior.noise_sd**2)
        self.spread = np.full(chains, prior.misfit_sd**2)
        self.misfit = [np.zeros((chains, len(part.score))) for part in self.rotated]

    def step(self) -> None:
        """Updates everything once."""
        self._update_theta()
        for index, part in enumerate(self.rotated):
            self._update_misfit(index, part)
        self._update_deviations()
        self._update_rates()

    def state(self) -> Draws:
        """A copy of the chains, with the misfit turned back to the measured places."""
        turned = [misfit @ part.back.T for misfit, part in zip(self.misfit, self.rotated, strict=True)]
        return Draws(self.theta.copy(), tuple(turned), np.sqrt(self.noise), np.sqrt(self.spread))

    def _update_theta(self) -> None:
        """Each coefficient given the others, there and back, with the misfit integrated out."""
        grams, targets = [], []
        for part in self.rotated:
            precision = 1.0 / (self.spread[:, None] * part.values + self.noise[:, None])
            weighted = precision[:, :, None] * part.features[None]
            grams.append(np.matmul(part.features.T[None], weighted))
            targets.append(np.matmul(part.score, weighted))
        gram, target = np.stack(grams, axis=1), np.stack(targets, axis=1)
        pull = 1.0 / self.prior.constant_sd**2
        theta = self.theta
        for term in (*range(surface.TERMS), *reversed(range(surface.TERMS))):
            own = gram[:, :, term, term]
            rest = np.einsum("cgk,cgk->cg", gram[:, :, term], theta) - own * theta[:, :, term]
            if term == 0:
                total = own + pull
                centre = (target[:, :, 0] - rest + pull * self.prior.constant) / total
                theta[:, :, 0] = centre + self.rng.standard_normal(centre.shape) / np.sqrt(total)
                continue
            total = own + _JITTER
            centre = (target[:, :, term] - rest - self.rates[:, :, term - 1]) / total
            drawn = sample_above_zero(self.rng, centre.ravel(), 1.0 / np.sqrt(total.ravel()))
            theta[:, :, term] = drawn.reshape(centre.shape)

    def _update_misfit(self, index: int, part: _Rotated) -> None:
        residual = part.score - self.theta[:, index] @ part.features.T
        before = self.spread[:, None] * part.values
        gain = before / (before + self.noise[:, None])
        sd = np.sqrt(gain * self.noise[:, None])
        self.misfit[index] = gain * residual + sd * self.rng.standard_normal(residual.shape)

    def _update_deviations(self) -> None:
        prior = self.prior
        squares = np.full_like(self.noise, prior.noise_df * prior.noise_sd**2)
        sizes = np.full_like(self.spread, prior.misfit_df * prior.misfit_sd**2)
        noise_df, misfit_df = prior.noise_df, prior.misfit_df
        for index, (part, group) in enumerate(zip(self.rotated, self.groups, strict=True)):
            residual = part.score - self.theta[:, index] @ part.features.T - self.misfit[index]
            squares += (residual**2).sum(axis=1) + group.scatter
            sizes += (self.misfit[index] ** 2 / part.values).sum(axis=1)
            noise_df += len(part.score) + group.scatter_df
            misfit_df += len(part.score)
        self.noise = squares / self.rng.chisquare(noise_df, size=len(squares))
        self.spread = sizes / self.rng.chisquare(misfit_df, size=len(sizes))

    def _update_rates(self) -> None:
        prior = self.prior
        gains = self.theta[:, :, 1:]
        self.rates = self.rng.gamma(prior.base_shape + 1.0, 1.0 / (self.task_rates[:, self.task_of] + gains))
        top_shape = prior.top_shape + self.tasks * prior.task_shape
        top = self.rng.gamma(top_shape, 1.0 / (self.top_rate + self.task_rates.sum(axis=1)))
        for task in range(self.tasks):
            members = self.rates[:, self.task_of == task]
            shape = prior.task_shape + members.shape[1] * prior.base_shape
            self.task_rates[:, task] = self.rng.gamma(shape, 1.0 / (top + members.sum(axis=1)))


def _rotate(group: Group, prior: Prior) -> _Rotated:
    where = surface.places(group.n_sft, group.n_pft)
    root = np.sqrt(group.weight)
    covariance = kernel(where, where, prior.length) * root[:, None] * root[None, :]
    values, vectors = np.linalg.eigh(covariance)
    return _Rotated(
        score=vectors.T @ (root * group.score),
        features=vectors.T @ (root[:, None] * surface.features(group.n_sft, group.n_pft)),
        values=np.maximum(values, _JITTER),
        back=vectors / root[:, None],
    )
