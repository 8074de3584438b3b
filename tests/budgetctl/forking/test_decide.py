from __future__ import annotations

import numpy as np
import pytest
from curves import passes, perplexity, point, right, run, sure_perplexity
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.forking.decide import Decider, Measurement
from budgetctl.forking.entries import parse_triggers
from budgetctl.forking.records import Evaluation
from budgetctl.forking.triggers import WatchSettings


def watch(*entries: object, **more: object) -> WatchSettings:
    triggers = parse_triggers([*entries], 10_000)
    return WatchSettings(triggers=triggers, every=8, **more)  # type: ignore[arg-type]


def test_a_falling_perplexity_passes_its_thresholds_one_by_one_and_once() -> None:
    curve = [[sure_perplexity(value)] for value in (5, 3.9, 3.9, 3.1, 2.9, 1.9, 4.5, 1.8)]
    fired = run(watch({"perplexity": [2, 4, 3]}), curve)
    assert [(one.trigger.name, one.point.step) for one in fired] == [
        ("perplexity<=4", 1),
        ("perplexity<=3", 4),
        ("perplexity<=2", 5),
    ]
    assert not any(one.same_as for one in fired)


def test_the_hardest_threshold_names_the_state() -> None:
    settings = watch(
        {"at": 8}, {"plateau": {"patience": 1}}, {"perplexity": [4, 3, 2]}, {"pass@1": [0.2, 0.3, 0.9]}
    )
    curve = [[sure_perplexity(2.5), right(0.5)], [sure_perplexity(2.5), right(0.5)]]
    first, second = curve
    decider = Decider(settings, 2)
    assert {one.trigger.name: one.same_as for one in decider.see(point(0), first)} == {
        "perplexity<=4": "perplexity<=3",
        "perplexity<=3": "",
        "pass@1>=0.2": "perplexity<=3",
        "pass@1>=0.3": "perplexity<=3",
    }
    assert {one.trigger.name: one.same_as for one in decider.see(point(1), second)} == {
        "examples=8": "",
        "plateau(perplexity,patience=1,gain=0)": "examples=8",
    }


def test_a_threshold_comes_before_what_stands_earlier_in_the_watch() -> None:
    (count, threshold) = run(watch({"at": 8}, {"perplexity": 3}), [[], [sure_perplexity(2)]])
    assert (count.trigger.name, count.same_as) == ("examples=8", "perplexity<=3")
    assert (threshold.trigger.name, threshold.same_as) == ("perplexity<=3", "")


def test_two_visits_of_one_step_save_one_state() -> None:
    decider = Decider(watch({"at": 16}, {"perplexity": 3}), 1)
    (count,) = decider.see(point(2), [])
    (threshold,) = decider.see(point(2), [sure_perplexity(2)])
    assert (count.same_as, threshold.same_as) == ("", "examples=16")
    assert count.measurement is None and threshold.measurement is not None


def test_being_near_a_threshold_is_not_enough() -> None:
    seven_of_twenty = passes([1.0] * 7 + [0.0] * 13)
    assert run(watch({"pass@1": 0.3}), [[seven_of_twenty]]) == []
    assert len(run(watch({"pass@1": 0.3}), [[right(0.35)]])) == 1
    rows = [(10 * (1.0 + 0.2 * (-1) ** row), 10) for row in range(20)]
    assert run(watch({"perplexity": 2.75}), [[perplexity(rows)]]) == []
    assert len(run(watch({"perplexity": 3.1}), [[perplexity(rows)]])) == 1


def test_more_evaluations_ask_for_more_evidence() -> None:
    rows = [perplexity((10 * (1.0 + 0.2 * (-1) ** row), 10) for row in range(20))]
    settings = watch({"perplexity": 2.95})
    assert len(Decider(settings, 1).see(point(0), rows)) == 1
    assert Decider(settings, 100).see(point(0), rows) == []


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_and_all_right_have_a_width(share: float) -> None:
    few, many = (passes([share] * rows) for rows in (5, 400))
    assert run(watch({"pass@1": 0.8}), [[few]]) == []
    assert len(run(watch({"pass@1": 0.8}), [[many]])) == int(share)


def test_a_plateau_waits_for_its_patience_after_the_first_evaluation() -> None:
    flat = [[sure_perplexity(3)]] * 6
    for patience in (1, 2, 5):
        (fired,) = run(watch({"plateau": {"patience": patience}}), flat)
        assert fired.point.step == patience
    assert run(watch({"plateau": {"patience": 6}}), flat) == []


def test_steady_gains_are_no_plateau_unless_they_are_too_small() -> None:
    falling = [[sure_perplexity(4 * 0.98**number)] for number in range(12)]
    assert run(watch({"plateau": {"patience": 2}}), falling) == []
    (fired,) = run(watch({"plateau": {"patience": 2, "min_gain": 0.1}}), falling)
    assert fired.point.step == 2
    # Over more evaluations the small gains add up: the best is the last accepted one, not the neighbour.
    assert run(watch({"plateau": {"patience": 6, "min_gain": 0.1}}), falling) == []


def test_getting_worse_is_no_gain() -> None:
    shares = (0.1, 0.3, 0.25, 0.2, 0.15)
    (fired,) = run(
        watch({"plateau": {"metric": "pass@1", "patience": 3}}), [[right(share)] for share in shares]
    )
    assert fired.point.step == 4


def test_gains_are_judged_pair_by_pair() -> None:
    """Prompts differ far more than evaluations do; without pairing this gain drowns."""
    hardness = np.linspace(0.1, 4, 60)
    curve = [[perplexity((10 * hard * 0.99**number, 10) for hard in hardness)] for number in range(6)]
    assert run(watch({"plateau": {"patience": 1}}), curve) == []
    mixed_up = [perplexity(list(curve[1][0].items)[::-1])]  # type: ignore[arg-type]
    assert len(run(watch({"plateau": {"patience": 1}}), [curve[0], mixed_up])) == 1


def test_other_dev_prompts_are_refused() -> None:
    settings = watch({"plateau": {"patience": 1}})
    with pytest.raises(ValueError, match="same dev prompts at both evaluations; got 40 and 39"):
        run(settings, [[sure_perplexity(3)], [sure_perplexity(3, rows=39)]])


def test_more_evaluations_than_planned_are_refused() -> None:
    decider = Decider(watch({"perplexity": 3}), 1)
    decider.see(point(0), [sure_perplexity(4)])
    decider.see(point(1), [])
    with pytest.raises(ValueError, match="only 1 were planned"):
        decider.see(point(2), [sure_perplexity(4)])


def test_what_did_not_fire_keeps_the_best_value_seen() -> None:
    decider = Decider(watch({"perplexity": 2}, {"pass@1": 0.9}, {"at": 99}), 3)
    for number, (value, share) in enumerate([(4, 0.1), (3, 0.5), (3.5, 0.3)]):
        assert decider.see(point(number), [sure_perplexity(value), right(share)]) == []
    low, high, never = decider.outcomes()
    assert low.fired is high.fired is never.fired is None
    assert low.best and low.best.value == pytest.approx(3, rel=1e-3) and low.best_at == point(1)
    assert high.best and high.best.value == 0.5
    assert never.best is None and never.best_at is None


SHARES = st.lists(st.lists(st.integers(0, 4), min_size=12, max_size=12), min_size=1, max_size=10)


@st.composite
def evaluations(draw: st.DrawFn) -> list[tuple[Measurement, ...]]:
    losses = st.lists(st.floats(0.01, 60), min_size=12, max_size=12)
    curve = []
    for fours in draw(SHARES):
        tokens = [5 + row for row in range(12)]
        rows = zip(draw(losses), tokens, strict=True)
        curve.append((perplexity(rows), passes([count / 4 for count in fours], k=1, samples=4)))
    return curve


EVERYTHING = watch(
    {"perplexity": [9, 6, 4, 2]},
    {"pass@1": [0.1, 0.3, 0.6]},
    {"plateau": {"metric": "perplexity", "patience": 1, "min_gain": 0.01}},
    {"plateau": {"metric": "pass@1", "patience": 2}},
    {"at": [8, 9, 24]},
    level=0.6,
)


@given(evaluations())
def test_a_replay_from_stored_evaluations_ends_the_same(curve: list[tuple[Measurement, ...]]) -> None:
    fired = run(EVERYTHING, curve)
    stored = [Evaluation(point(number), seen).as_json() for number, seen in enumerate(curve)]
    decider = Decider(EVERYTHING, len(curve))
    back = [Evaluation.from_json(line) for line in stored]
    assert [one for seen in back for one in decider.see(seen.point, seen.measurements)] == fired
    assert [outcome.fired for outcome in decider.outcomes() if outcome.fired] == sorted(
        fired, key=lambda one: EVERYTHING.triggers.index(one.trigger)
    )


@given(evaluations())
def test_each_trigger_fires_once_and_each_state_has_one_name(curve: list[tuple[Measurement, ...]]) -> None:
    fired = run(EVERYTHING, curve)
    names = [one.trigger.name for one in fired]
    assert len(set(names)) == len(names)
    for step in {one.point.step for one in fired}:
        own = [one for one in fired if one.point.step == step]
        (saved,) = [one for one in own if not one.same_as]
        assert {one.same_as for one in own} <= {"", saved.trigger.name}


@given(evaluations())
def test_an_easier_threshold_never_fires_after_a_harder_one(curve: list[tuple[Measurement, ...]]) -> None:
    at = {one.trigger.name: one.point.step for one in run(EVERYTHING, curve)}
    for order in (["perplexity<=9", "perplexity<=6", "perplexity<=4", "perplexity<=2"],
                  ["pass@1>=0.1", "pass@1>=0.3", "pass@1>=0.6"]):  # fmt: skip
        steps = [at.get(name, 10**9) for name in order]
        assert steps == sorted(steps)


@given(evaluations())
def test_nothing_fires_unless_the_estimate_itself_is_beyond(curve: list[tuple[Measurement, ...]]) -> None:
    for one in run(EVERYTHING, curve):
        if one.trigger.kind == "perplexity":
            assert one.measurement and one.measurement.value <= one.trigger.at_most
        if one.trigger.kind == "pass":
            assert one.measurement and one.measurement.value >= one.trigger.at_least
        if one.trigger.kind == "examples":
            assert one.point.examples >= one.trigger.at > one.point.examples - 8
