"""Ctrl-C that a library swallows or wraps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from budgetctl.signals import faithful_ctrl_c


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """A test run started in the background of a shell ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 0.01)  # lets the handler run


def swallow() -> None:
    try:
        press()
    except BaseException:
        return
    raise AssertionError("Ctrl-C did not come")


def test_a_swallowed_one_comes_out_with_the_error_that_it_caused() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, faithful_ctrl_c():
        swallow()
        raise RecursionError("numpy is half there")
    assert isinstance(caught.value.__cause__, RecursionError)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_nobody_touches_passes() -> None:
    with pytest.raises(KeyboardInterrupt), faithful_ctrl_c():
        press()


def test_a_swallowed_one_that_caused_nothing_is_forgotten() -> None:
    with faithful_ctrl_c():
        swallow()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ValueError, match="so it is"), faithful_ctrl_c():
        raise ValueError("so it is")


def test_where_ctrl_c_is_ignored_it_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with faithful_ctrl_c():
        press()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_are_left_alone() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with faithful_ctrl_c():
                raise ValueError("here")
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 1
