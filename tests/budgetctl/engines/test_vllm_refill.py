"""When the next prompts go to vLLM: in waves, and all of them in the end."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from budgetctl.engines.vllm_child import REFILL_PART, refill


@given(rows=st.integers(1, 64), prompts=st.integers(0, 400), seed=st.integers(0, 2**16))
def test_every_prompt_goes_in_waves_that_never_overfill(rows: int, prompts: int, seed: int) -> None:
    dice = random.Random(seed)
    waiting, unfinished, waves = prompts, 0, list[int]()
    while waiting or unfinished:
        wave = refill(rows, unfinished, waiting)
        waiting, unfinished = waiting - wave, unfinished + wave
        if wave:
            waves.append(wave)
        assert 0 < unfinished <= rows, "an engine with nothing to do would never be done"
        unfinished -= dice.randint(0, min(unfinished, 3))
    assert sum(waves) == prompts
    assert all(wave >= rows // REFILL_PART for wave in waves[:-1])


def test_prompts_that_all_fit_go_at_once() -> None:
    assert refill(1024, 0, 660) == 660
    assert refill(1024, 1000, 500) == 0
    assert refill(1024, 768, 500) == 256
    assert refill(1024, 1000, 20) == 20
