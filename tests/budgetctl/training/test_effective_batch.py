"""Every micro-batch gives the same training: 1 × 16, 4 × 4 and 16 × 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_results import curve_values, largest_difference

from budgetctl.training.config import OptimizerSettings, PftSettings, SftSettings
from budgetctl.training.microbatch import first_micro_batch, smaller
from budgetctl.training.order import RowOrder
from budgetctl.training.run import train

TOLERANCE = 2e-4
"""Of weights and logged values after six steps. Sums over other groupings round differently in float32, and Adam's
first steps divide by the square root of tiny second moments."""
GENTLE = OptimizerSettings(learning_rate=1e-3)


def assert_same(one: Path, other: Path, names: tuple[str, ...]) -> None:
    assert largest_difference(one, other) < TOLERANCE
    for name in names:
        assert curve_values(one, name) == pytest.approx(curve_values(other, name), abs=TOLERANCE)


@pytest.mark.parametrize("micro_batch", [1, 4])
def test_sft(micro_batch: int, make_job: Any) -> None:
    whole, parts = make_job(micro_batch=16), make_job(micro_batch=micro_batch)
    settings = SftSettings(epochs=4, optimizer=GENTLE)
    for job in (whole, parts):
        assert train(job, settings)["micro_batch"] == job.micro_batch
    assert_same(whole.out, parts.out, ("loss", "grad_norm", "learning_rate"))


@pytest.mark.parametrize("micro_batch", [1, 4])
def test_dpo(micro_batch: int, make_job: Any) -> None:
    whole, parts = (make_job("pref.parquet", micro_batch=rows) for rows in (16, micro_batch))
    for job in (whole, parts):
        train(job, PftSettings(epochs=4, optimizer=GENTLE))
    assert_same(whole.out, parts.out, ("loss", "rewards/margins"))


@pytest.mark.parametrize("micro_batch", [1, 4])
@pytest.mark.parametrize(
    "settings",
    [{"method": "simpo"}, {"method": "orpo"}, {"method": "cpo"}, {"method": "dpo", "sft_weight": 0.5}],
    ids=["simpo", "orpo", "cpo", "dpo-with-likelihood"],
)
def test_losses_of_our_own(settings: dict[str, Any], micro_batch: int, make_job: Any) -> None:
    whole, parts = (make_job("pref.parquet", micro_batch=rows) for rows in (16, micro_batch))
    for job in (whole, parts):
        train(job, PftSettings.model_validate({**settings, "epochs": 4, "optimizer": GENTLE.model_dump()}))
    assert_same(whole.out, parts.out, ("loss", "rewards/margins"))


def test_a_method_that_compares_a_batchs_rows_is_not_cut(make_job: Any) -> None:
    metrics = train(make_job("pref.parquet", micro_batch=4), PftSettings(method="aot", epochs=1))
    assert metrics["micro_batch"] == 16


@pytest.mark.parametrize("micro_batch", [2, 4])
def test_kto(micro_batch: int, make_job: Any) -> None:
    whole, parts = (make_job("unpaired.parquet", micro_batch=rows) for rows in (16, micro_batch))
    for job in (whole, parts):
        train(job, PftSettings(method="kto", epochs=4, optimizer=GENTLE))
    assert_same(whole.out, parts.out, ("loss", "kl"))


@given(
    rows=st.integers(1, 300),
    epochs=st.floats(0.01, 5),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_order_is_passes_of_permutations_in_full_batches(
    rows: int, epochs: float, batch_size: int, seed: int
) -> None:
    order = RowOrder(rows, epochs, batch_size, seed)
    stream = order.stream()
    assert len(stream) == order.steps * batch_size == order.examples
    assert order.examples >= rows * epochs - 1e-3
    assert order.steps == 1 or (order.steps - 1) * batch_size < rows * epochs
    for start in range(0, len(stream) - rows + 1, rows):
        assert sorted(stream[start : start + rows]) == list(range(rows))
    assert stream == RowOrder(rows, epochs, batch_size, seed).stream()


@given(
    batch_size=st.integers(1, 64),
    longest=st.integers(1, 5000),
    asked=st.one_of(st.none(), st.integers(1, 100)),
    least=st.integers(1, 64),
)
def test_micro_batches_divide_the_batch_and_hold_what_a_method_needs(
    batch_size: int, longest: int, asked: int | None, least: int
) -> None:
    least = min(least, batch_size)
    rows = first_micro_batch(batch_size, longest, on_gpu=False, asked=asked, least=least)
    assert batch_size % rows == 0
    assert rows >= least
    if asked is not None and rows > asked:
        assert not [size for size in range(least, rows) if batch_size % size == 0]
    tried = [rows]
    while (less := smaller(batch_size, tried[-1], least)) is not None:
        assert batch_size % less == 0
        assert least <= less < tried[-1]
        tried.append(less)
    assert least > 1 or tried[-1] == 1


@pytest.mark.parametrize(("batch_size", "asked"), [(17, None), (7, 2)])
def test_kto_of_a_batch_that_cannot_be_cut_in_twos(batch_size: int, asked: int | None, make_job: Any) -> None:
    job = make_job("unpaired.parquet", micro_batch=asked)
    metrics = train(job, PftSettings(method="kto", epochs=1, batch_size=batch_size))
    assert metrics["micro_batch"] == batch_size
