from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.analysis import surface
from budgetctl.analysis.allocation import AllocationModel, Effort
from budgetctl.analysis.posterior import Group, Prior, sample
from budgetctl.analysis.results_file import Observation
from budgetctl.analysis.truncated import sample_above_zero
from budgetctl.study.budget import Prices, split_budget

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
QUICK = Effort(chains=40, sweeps=40)


def truth(n_sft: float, n_pft: float) -> float:
    """Best in the middle: pairs help, but only after SFT."""
    sft, pft = 1 - np.exp(-n_sft / 800), 1 - np.exp(-n_pft / 2000)
    return float(0.2 + 0.3 * sft + 0.25 * pft * (0.1 + 0.9 * (1 - np.exp(-n_sft / 300))))


def observed(
    budgets: tuple[int, ...], *, noise: float = 0.01, seed: int = 0, task: str = "t"
) -> list[Observation]:
    rng = np.random.default_rng(seed)
    found = []
    for budget in budgets:
        for share in SHARES:
            split = split_budget(budget, share, Prices())
            score = truth(split.n_sft, split.n_pft) + noise * rng.standard_normal()
            found.append(Observation("b", task, budget, share, split.n_sft, split.n_pft, float(score)))
    return found


@given(
    n_sft=st.integers(0, 10**6),
    n_pft=st.integers(0, 10**6),
    more=st.integers(1, 10**5),
    gains=st.integers(0, 2**32 - 1),
)
def test_surfaces_saturate_start_cold_and_never_fall_below_the_base(
    n_sft: int, n_pft: int, more: int, gains: int
) -> None:
    theta = np.random.default_rng(gains).exponential(size=surface.TERMS)

    def score(sft: float, pft: float) -> float:
        return float((surface.features([sft], [pft]) @ theta)[0])

    base = score(0, 0)
    assert base == pytest.approx(theta[0])
    assert score(n_sft, n_pft) >= base - 1e-9
    assert score(n_sft, n_pft + more) >= score(n_sft, n_pft) - 1e-9
    assert score(n_sft + more, 0) >= score(n_sft, 0) - 1e-9
    assert score(n_sft, n_pft) <= theta.sum() + 1e-9
    warm = np.zeros(surface.TERMS)
    first = 1 + len(surface.SFT_SCALES)
    warm[first : first + len(surface.WARM_SCALES) * len(surface.PFT_SCALES)] = 1.0
    assert float((surface.features([0], [n_pft]) @ warm)[0]) == 0.0


@settings(max_examples=20, deadline=None)
@given(mean=st.floats(-8, 8), sd=st.floats(0.1, 3))
def test_truncated_normals_have_the_right_mean(mean: float, sd: float) -> None:
    drawn = sample_above_zero(np.random.default_rng(0), np.full(20_000, mean), np.full(20_000, sd))
    assert drawn.min() >= 0
    grid = np.linspace(0, max(mean, 0) + 9 * sd, 40_001)
    logs = -0.5 * ((grid - mean) / sd) ** 2
    density = np.exp(logs - logs.max())
    expected = (grid * density).sum() / density.sum()
    spread = np.sqrt(((grid - expected) ** 2 * density).sum() / density.sum())
    assert drawn.mean() == pytest.approx(expected, abs=5 * spread / np.sqrt(20_000) + 1e-3 * sd)


def test_the_sampler_agrees_with_the_posterior_of_a_case_that_can_be_solved() -> None:
    """Untrained scores only: the constant is normal with a known mean, the gains stay at their prior."""
    score = np.array([0.41, 0.39, 0.40, 0.42])
    zeros = np.zeros(4)
    prior = Prior(noise_sd=0.02, noise_df=1e6, misfit_sd=1e-4, misfit_df=1e6, constant=0.3, constant_sd=0.05)
    draws = sample([Group(0, zeros, zeros, score, np.ones(4))], prior, chains=300, sweeps=40, keep_every=4)
    precision = 4 / 0.02**2 + 1 / 0.05**2
    expected = (score.sum() / 0.02**2 + 0.3 / 0.05**2) / precision
    constant = draws.theta[:, 0, 0]
    assert constant.mean() == pytest.approx(expected, abs=0.001)
    assert constant.std() == pytest.approx(precision**-0.5, rel=0.1)


def test_a_known_surface_is_found_again_between_its_points() -> None:
    model = AllocationModel.fit(observed((100, 500, 1000, 5000, 10_000)))
    group = model.groups[0]
    n_sft, n_pft = np.array([1500.0, 2250.0, 300.0]), np.array([1500.0, 750.0, 2700.0])
    draws = model.score_draws(group, n_sft, n_pft)
    true = np.array([truth(s, p) for s, p in zip(n_sft, n_pft, strict=True)])
    assert np.abs(draws.mean(axis=0) - true).max() < 0.03
    assert model.noise_sd == pytest.approx(0.012, abs=0.008)
    assert model.measured_budgets(group) == (100, 10_000)


def test_the_same_seed_gives_the_same_model() -> None:
    found = observed((100, 1000))
    first, second = (AllocationModel.fit(found, effort=QUICK, seed=3) for _ in range(2))
    group = first.groups[0]
    assert np.array_equal(first.score_draws(group, [10], [20]), second.score_draws(group, [10], [20]))


def test_uncertainty_grows_beyond_the_data() -> None:
    model = AllocationModel.fit(observed((100, 500, 1000)), effort=QUICK)
    inside = model.score_draws(model.groups[0], [500], [500]).std()
    beyond = model.score_draws(model.groups[0], [20_000], [20_000]).std()
    assert beyond > 2 * inside


@pytest.mark.parametrize("scale", [100.0, 1000.0])
def test_other_units_of_score_change_nothing_but_the_unit(scale: float) -> None:
    found = observed((100, 1000, 5000))
    scaled = [
        Observation(o.base, o.task, o.budget, o.sft_share, o.n_sft, o.n_pft, o.score * scale) for o in found
    ]
    plain = AllocationModel.fit(found, effort=QUICK)
    other = AllocationModel.fit(scaled, effort=QUICK)
    place = ([1000.0], [1000.0])
    expected = plain.score_draws(plain.groups[0], *place).mean() * scale
    assert other.score_draws(other.groups[0], *place).mean() == pytest.approx(expected, rel=0.05)


def test_replicates_are_averaged_and_tell_the_noise() -> None:
    found = [one for seed in range(6) for one in observed((100, 1000, 5000), noise=0.05, seed=seed)]
    model = AllocationModel.fit(found, effort=QUICK)
    assert model.noise_sd == pytest.approx(0.05, rel=0.25)


def test_a_second_task_lends_strength() -> None:
    """Three cells do not show the cold start; a fully measured task of the same shape does."""
    few = [one for one in observed((1000, 5000), task="new") if one.sft_share in (1.0, 0.5)]
    full = observed((100, 500, 1000, 5000, 10_000), task="old")
    name, true = ("b", "new", ""), truth(0, 5000)
    wrong = []
    for found in (few, [*few, *full]):
        model = AllocationModel.fit(found)
        wrong.append(abs(model.score_draws(name, [0], [5000]).mean() - true))
    assert wrong[1] < wrong[0]


def test_no_observation_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one observation"):
        AllocationModel.fit([])
