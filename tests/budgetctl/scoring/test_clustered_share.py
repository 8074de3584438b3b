"""Shares of verdicts that go together within prompts: Wilson where they do not, a width always, and coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.scoring.clustered import clustered_share
from budgetctl.scoring.intervals import wilson

Prompts = list[tuple[int, int]]
prompts = st.lists(
    st.integers(1, 9).flatmap(lambda size: st.tuples(st.integers(0, size), st.just(size))),
    min_size=1,
    max_size=12,
)


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_one_verdict_a_prompt_gives_wilsons_interval(right: list[bool]) -> None:
    share, direct = clustered_share(right, [1] * len(right)), wilson(sum(right), len(right))
    assert (share.interval.low, share.interval.high) == pytest.approx((direct.low, direct.high))


@given(st.lists(st.booleans(), min_size=1, max_size=50), st.integers(1, 16))
def test_copies_of_one_verdict_say_no_more_than_the_verdict(right: list[bool], copies: int) -> None:
    once = clustered_share(right, [1] * len(right))
    often = clustered_share([copies * flag for flag in right], [copies] * len(right))
    assert often.value == once.value
    assert (often.interval.low, often.interval.high) == pytest.approx((once.interval.low, once.interval.high))


@given(prompts)
def test_it_holds_the_share_has_a_width_and_stays_within_bounds(found: Prompts) -> None:
    sums, counts = zip(*found, strict=True)
    share = clustered_share(sums, counts)
    assert share.value == pytest.approx(sum(sums) / sum(counts))
    assert (share.n, share.prompts) == (sum(counts), len(counts))
    assert 0.0 <= share.interval.low <= share.value <= share.interval.high <= 1.0
    n = sum(counts)  # as if all verdicts were independent: nothing promises more than that
    assert share.interval.high - share.interval.low > 0.99 * (wilson(0, n).high - wilson(0, n).low)


@pytest.mark.parametrize(
    ("sums", "counts", "trials"),
    [
        ([4], [8], 1),  # one prompt tells nothing of others
        ([1] * 5, [2] * 5, 10),  # alike beyond chance: independent verdicts at best
        ([0.5] * 3, [1] * 3, 3),
        ([50, 51], [100, 100], 4),  # two prompts are alike by chance
    ],
)
def test_degenerate_data(sums: list[float], counts: list[int], trials: int) -> None:
    share = clustered_share(sums, counts)
    direct = wilson(share.value * trials, trials)
    assert (share.interval.low, share.interval.high) == pytest.approx((direct.low, direct.high), abs=0.01)


@pytest.mark.parametrize(
    ("prompt_count", "verdicts"), [(2, 2), (3, 8), (5, 2), (5, 64), (10, 8), (24, 2), (24, 16), (100, 8)]
)
@pytest.mark.parametrize("shape", [(0.2, 1.8), (0.5, 0.5), (2.0, 2.0), (50.0, 50.0)])
def test_it_covers_the_true_share(prompt_count: int, verdicts: int, shape: tuple[float, float]) -> None:
    """Prompts of all kinds: nearly all right or all wrong, mixed, and all alike."""
    random = np.random.default_rng(0)
    truth = shape[0] / sum(shape)
    covered = 0
    for _ in range(1000):
        sums = random.binomial(verdicts, random.beta(*shape, prompt_count))
        covered += truth in clustered_share(sums, [verdicts] * prompt_count).interval
    assert covered >= 900


@pytest.mark.parametrize("prompt_count", [5, 20, 100])
def test_it_covers_a_ratio_whose_prompts_differ_in_size(prompt_count: int) -> None:
    """As IFEval's: one to three instructions, the more the harder."""
    random = np.random.default_rng(1)
    shares, sizes = np.array([0.56, 0.33, 0.11]), np.array([1, 2, 3])
    chance = 0.75 - 0.1 * (sizes - 1)
    truth = float((shares * sizes * chance).sum() / (shares * sizes).sum())
    covered = 0
    for _ in range(1000):
        counts = random.choice(sizes, p=shares, size=prompt_count)
        sums = random.binomial(counts, random.beta(1, 1, prompt_count) * 0.5 + 0.5 - 0.1 * (counts - 1))
        covered += truth in clustered_share(sums, counts).interval
    assert covered >= 920


@pytest.mark.parametrize(
    ("sums", "counts", "message"),
    [([], [], "one sum and one count"), ([1], [1, 1], "one sum and one count"), ([0], [0], "needs a verdict"),
     ([2], [1], "between 0 and their number"), ([float("nan")], [1], "between 0 and")],
)  # fmt: skip
def test_what_is_no_share_is_refused(sums: list[float], counts: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clustered_share(sums, counts)
