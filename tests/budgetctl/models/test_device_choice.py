"""Which device a name stands for, and names that stand for none."""

from __future__ import annotations

import pytest
import torch

from budgetctl.devices import checked_device
from budgetctl.errors import UsageError
from budgetctl.models.loading import choose_device


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_names_of_devices(name: str) -> None:
    assert checked_device(name) == name


@pytest.mark.parametrize(
    "name", ["bogus", "cuda:x", "cuda:-1", "cuda:", "cuda:01", "cuda:١", "CPU", "cpu:0", "mps", ""]
)
def test_other_names_are_refused_in_a_sentence(name: str) -> None:
    for check in (checked_device, choose_device):
        with pytest.raises(UsageError, match=r"there is no device .* takes auto, cpu, cuda or cuda:N"):
            check(name)


@pytest.mark.parametrize(
    ("gpus", "words"), [(0, "no GPU here"), (1, "one GPU, cuda:0,"), (2, "2 GPUs, from cuda:0,")]
)
def test_a_gpu_that_is_not_there(gpus: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UsageError, match=f"'cuda:3' was asked for, but torch sees {words}"):
        choose_device("cuda:3")
    assert choose_device("auto").type == ("cuda" if gpus else "cpu")
    assert choose_device("cpu").type == "cpu"
