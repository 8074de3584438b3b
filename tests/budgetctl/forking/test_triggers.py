from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from budgetctl.errors import UsageError
from budgetctl.forking.entries import parse_triggers, trigger_named
from budgetctl.forking.schedule import evaluation_steps, fork_steps, step_after
from budgetctl.forking.triggers import (
    ExamplesTrigger,
    PassTrigger,
    PerplexityTrigger,
    PlateauTrigger,
    Trigger,
    WatchSettings,
)

METRICS = st.one_of(st.just("perplexity"), st.integers(1, 64).map(lambda k: f"pass@{k}"))
FINITE = {"allow_nan": False, "allow_infinity": False}
TRIGGERS = st.one_of(
    st.builds(PerplexityTrigger, at_most=st.floats(1, 1e9, exclude_min=True, **FINITE)),
    st.builds(
        PassTrigger, k=st.integers(1, 64), at_least=st.floats(0, 1, exclude_min=True, exclude_max=True)
    ),
    st.builds(
        PlateauTrigger, metric=METRICS, patience=st.integers(1, 50), min_gain=st.floats(0, 1e3, **FINITE)
    ),
    st.builds(ExamplesTrigger, at=st.integers(1, 10**9)),
)


@given(TRIGGERS)
def test_a_name_reads_back_as_its_trigger(trigger: Trigger) -> None:
    assert trigger_named(trigger.name) == trigger
    stored = trigger.model_dump(mode="json")
    assert TypeAdapter(Trigger).validate_python(stored) == trigger


@given(TRIGGERS, TRIGGERS)
def test_different_triggers_have_different_names(one: Trigger, other: Trigger) -> None:
    assert (one == other) == (one.name == other.name)


def test_names_are_readable() -> None:
    entries = [
        {"perplexity": 3},
        {"pass@4": 0.3},
        {"plateau": {"metric": "perplexity", "patience": 3, "min_gain": 0.01}},
        {"at": 128},
    ]
    assert [trigger.name for trigger in parse_triggers(entries, 256)] == [
        "perplexity<=3",
        "pass@4>=0.3",
        "plateau(perplexity,patience=3,gain=0.01)",
        "examples=128",
    ]


def test_every_is_written_out_to_the_end_and_repeats_count_once() -> None:
    found = parse_triggers([{"every": 64}, {"at": [100, 128]}, "examples=64"], 200)
    assert [trigger.name for trigger in found] == [
        "examples=64",
        "examples=128",
        "examples=192",
        "examples=100",
    ]


def test_several_thresholds_in_one_entry() -> None:
    found = parse_triggers([{"perplexity": [3.5, 3]}, {"pass@1": [0.1, 0.2]}], 1)
    assert [t.name for t in found] == ["perplexity<=3.5", "perplexity<=3", "pass@1>=0.1", "pass@1>=0.2"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"perplexty": 3}, "there is no trigger 'perplexty'; valid are {perplexity: 3.0}"),
        ({"perplexity": 1}, "greater than 1 (given: 1)"),
        ({"perplexity": float("nan")}, "finite"),
        ({"perplexity": "3"}, "takes a number or a list of numbers, not '3'"),
        ({"perplexity": []}, "takes a number or a list of numbers"),
        ({"perplexity": True}, "takes a number"),
        ({"pass@0": 0.3}, "there is no trigger 'pass@0'"),
        ({"pass@1": 1.2}, "less than 1 (given: 1.2)"),
        ({"plateau": 3}, "must be a mapping"),
        ({"plateau": {"patiance": 3}}, "unknown key `patiance`; did you mean `patience`?"),
        ({"plateau": {"metric": "loss"}}, "(given: 'loss')"),
        ({"every": 0}, "whole number above 0"),
        ({"every": 6.5}, "whole number above 0"),
        ({"at": [100, 300]}, "300, but the run processes only 256 examples"),
        ({"at": float("inf")}, "whole number above 0"),
        ({"perplexity": 3, "at": 4}, "is no trigger; valid are"),
        (7, "7 is no trigger"),
        ("perplexity<3", "'perplexity<3' is no trigger; valid are, for example, perplexity<=3"),
        ("plateau(loss,patience=1,gain=0)", "(given: 'loss')"),
        ("pass@0>=0.5", "greater than or equal to 1"),
    ],
)
def test_a_bad_entry_gets_one_sentence(entry: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_triggers([entry], 256)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entries", ["perplexity<=3", {"perplexity": 3}, 3])
def test_triggers_are_a_list(entries: object) -> None:
    with pytest.raises(UsageError, match="must be a list"):
        parse_triggers(entries, 256)  # type: ignore[arg-type]


def test_the_watch_lists_what_has_to_be_measured() -> None:
    triggers = parse_triggers([{"plateau": {"metric": "pass@2"}}, {"perplexity": [4, 3]}, {"at": 3}], 9)
    watch = WatchSettings(triggers=triggers, every=8, monitors=("perplexity", "pass@4"))
    assert watch.metrics == ("pass@2", "perplexity", "pass@4")
    assert watch.ks == (2, 4)
    assert [trigger.name for trigger in watch.thresholds] == ["perplexity<=4", "perplexity<=3"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"monitors": ["pass@8"]}, "pass@8 needs at least 8 answers a prompt, but samples is 4"),
        ({"triggers": [{"kind": "pass", "k": 5, "at_least": 0.5}]}, "pass@5 needs at least 5"),
        ({"monitors": ["pass@1"], "temperature": 0}, "temperature 0"),
        ({"triggers": [{"kind": "examples", "at": 3}] * 2}, "examples=3 is listed twice"),
        ({"level": 90}, "less than 1"),
        ({"monitors": ["accuracy"]}, "pattern"),
    ],
)
def test_a_watch_that_cannot_work_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        WatchSettings.model_validate({"every": 8, **given})


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 80))
def test_evaluations_keep_their_cadence(every: int, batch: int, steps: int) -> None:
    found = evaluation_steps(every, batch, steps)
    assert found[0] == 0 and found[-1] == steps
    assert list(found) == sorted(set(found))
    for examples in range(every, steps * batch + 1, every):
        step = step_after(examples, batch)
        assert step in found
        assert step * batch >= examples > (step - 1) * batch
    assert len(found) <= 2 + steps * batch // every


def test_forks_by_count_wait_for_the_step_to_end() -> None:
    triggers = parse_triggers([{"at": [1, 16, 17, 32]}, {"perplexity": 3}], 40)
    assert fork_steps(triggers, batch=16, steps=2) == (1, 2)
    assert fork_steps(triggers, batch=16, steps=1) == (1,)
