"""The real worker on a simulated cluster: everything is published, whatever the weather, and little is done twice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.study.plan import Plan
from budgetctl.study.simulate import simulate
from budgetctl.study.simulated_site import Weather
from store import Payload


def ladder(chains: int, length: int) -> Plan:
    """One source, and chains of stages that all start from it."""
    source = Payload("base", 1, {"n": 0}, {})
    stages = {source.key: source}
    for chain in range(chains):
        parent = source.key
        for step in range(length):
            payload = Payload("sft", 1, {"chain": chain, "step": step}, {"base": source.key, "data": parent})
            stages[payload.key] = payload
            parent = payload.key
    return Plan("ladder", {}, (), stages)


def lasting(plan: Plan, seconds: float) -> Mapping[str, float]:
    return dict.fromkeys(plan.stages, seconds)


@pytest.mark.parametrize("workers", [1, 5, 40])
def test_in_calm_weather_each_stage_runs_once(workers: int) -> None:
    plan = ladder(chains=12, length=3)
    seen = simulate(plan, lasting(plan, 600), workers)
    assert dict(seen.published) == dict.fromkeys(plan.stages, 1)
    assert seen.worked == pytest.approx(600 * len(plan.stages))
    assert (seen.duplicated, seen.lost) == (0, 0)
    least = 600 * max(4, len(plan.stages) / workers)
    assert least <= seen.makespan < 1.2 * least + 120


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    workers=st.integers(1, 12),
    preempted=st.floats(0, 2),
    killed=st.floats(0, 0.2),
    cut_off=st.floats(0, 1),
)
def test_in_any_weather_everything_is_published(
    seed: int, workers: int, preempted: float, killed: float, cut_off: float
) -> None:
    plan = ladder(chains=8, length=3)
    weather = Weather(preempted=preempted, killed=killed, cut_off=cut_off)
    seen = simulate(plan, lasting(plan, 900), workers, weather, seed)
    assert set(seen.published) == set(plan.stages)
    needed = 900 * len(plan.stages)
    assert seen.worked == pytest.approx(needed + seen.lost + seen.duplicated, rel=0.02)


def test_preemptions_alone_duplicate_and_lose_nothing() -> None:
    plan = ladder(chains=30, length=3)
    seen = simulate(plan, lasting(plan, 3600), 16, Weather(preempted=1.0), seed=3)
    assert seen.interruptions["preempted"] > 20
    assert (seen.duplicated, seen.lost) == (0, 0)
    assert set(seen.published.values()) == {1}


def test_under_one_percent_is_done_twice() -> None:
    plan = ladder(chains=60, length=4)
    weather = Weather(preempted=1 / 6, killed=1 / 24, cut_off=1 / 24)
    seen = simulate(plan, lasting(plan, 3600), 40, weather, seed=5)
    assert seen.interruptions["cut off"] > 0
    assert seen.duplicated < 0.01 * seen.worked


def test_waiting_workers_ask_the_store_little() -> None:
    """One stage runs for a quarter of an hour, fifty workers wait for it."""
    plan = ladder(chains=1, length=1)
    seen = simulate(plan, lasting(plan, 900), 50)
    asked = sum(count for name, count in seen.operations.items() if name != "beat")
    assert asked / 50 / seen.makespan < 2, "more than two operations a second by a worker that waits"
