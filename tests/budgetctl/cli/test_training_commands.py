"""`budgetctl sft` and `pft` as they are called: what they refuse, before a base is made for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from budgetctl.__main__ import run
from store import Payload, Store

QUICK = ("--epochs", "1", "--set", "lora.rank=4", "--device", "cpu", "--threads", "1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def rows(store: Store, sum_data: Path) -> Callable[[str], str]:
    """Publish one of the sums' files as a data artifact."""

    def publish(name: str) -> str:
        draft = store.draft(
            Payload(stage="data", revision=1, identity={"task": "arith", "file": name}, parents={})
        )
        shutil.copyfile(sum_data / name, draft.files / name)
        return draft.publish({"rows": 24}, {}).key

    return publish


@pytest.fixture
def call(store: Store, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; exit code, stdout, stderr. A traceback fails the test."""

    def invoke(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--store", str(store.root)])
        out, err = capsys.readouterr()
        return code, out, err

    return invoke


@pytest.fixture
def trained(call: Callable[..., tuple[int, str, str]], small_base: Path, rows: Callable[[str], str]) -> str:
    code, out, err = call("sft", "--base", small_base, "--data", rows("sft.parquet"), *QUICK)
    assert code == 0, err
    return out.strip()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--seed", "-1"), "greater than or equal to 0"),
        (("--seed", "5000000000"), "less than or equal to 4294967295"),
        (
            ("--set", "optimizer=5", "--lr", "1e-3"),
            "optimizer was set to 5, and optimizer.learning_rate is one of",
        ),
        (
            ("--set", "lora=1", "--set", "lora.rank=2"),
            "lora was set to 1, and lora.rank is one of its settings",
        ),
        (("--set", "lora.rank=[1"), "--set lora.rank=[1: '[1' is not valid YAML"),
        (("--set", "lora.targets=[]"), "targets is empty"),
        (("--set", "backend=unsloth"), "computes in bfloat16"),
        (("--batch-size", "9", "--processes", "2"), "9 rows cannot be split evenly over 2 processes"),
        (("--shard",), "add --processes N"),
    ],
)
def test_settings_are_refused_before_the_base_is_made(
    options: tuple[str, ...],
    sentence: str,
    call: Callable[..., tuple[int, str, str]],
    small_base: Path,
    rows: Callable[[str], str],
    store: Store,
) -> None:
    code, out, err = call("sft", "--base", small_base, "--data", rows("sft.parquet"), *options)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.replace("│", " ").split())
    assert not [artifact for artifact in store.artifacts() if artifact.stage == "base"]


def test_settings_of_preferences_are_refused_before_the_base_is_made(
    call: Callable[..., tuple[int, str, str]], small_base: Path, rows: Callable[[str], str], store: Store
) -> None:
    code, _, err = call("pft", "--from", small_base, "--data", rows("pref.parquet"), "--method", "exo")
    assert code == 2
    assert "exo needs a label_smoothing" in err
    assert not [artifact for artifact in store.artifacts() if artifact.stage == "base"]


def test_a_checkpoint_is_no_base(
    call: Callable[..., tuple[int, str, str]], trained: str, rows: Callable[[str], str], store: Store
) -> None:
    code, _, err = call("sft", "--base", trained, "--data", rows("sft.parquet"), *QUICK)
    assert code == 2
    base = store.artifact(trained).parents["base"]
    assert "is a checkpoint (sft), and a base model is needed here" in err
    assert f"go on from it with `budgetctl pft --from {trained}`" in err
    assert f"give its base {base[:12]}" in err


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("adapter=continue", "lora.rank=4"), "in its own shape, so lora.rank: 4 would do nothing"),
        (("weights=full",), "weights: full cannot start from a LoRA checkpoint"),
    ],
)
def test_settings_that_do_not_fit_the_checkpoint(
    settings: tuple[str, ...],
    sentence: str,
    call: Callable[..., tuple[int, str, str]],
    trained: str,
    rows: Callable[[str], str],
) -> None:
    given = [word for setting in settings for word in ("--set", setting)]
    code, _, err = call("pft", "--from", trained, "--data", rows("pref.parquet"), *given)
    assert code == 2
    assert sentence in err


def test_a_folder_whose_weights_are_cut_short_is_named(
    call: Callable[..., tuple[int, str, str]], small_base: Path, rows: Callable[[str], str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_base, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    code, _, err = call("sft", "--base", broken, "--data", rows("sft.parquet"), *QUICK)
    assert code == 2
    assert f"{weights} is " in err


def test_a_folder_whose_weights_are_another_models(
    call: Callable[..., tuple[int, str, str]], small_base: Path, rows: Callable[[str], str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_base, broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    code, _, err = call("sft", "--base", broken, "--data", rows("sft.parquet"), *QUICK)
    assert code == 2
    assert (
        "are not those that its config.json describes: model.layers.2.input_layernorm.weight is missing"
        in err
    )


def test_the_precision_is_what_the_folder_declares(
    call: Callable[..., tuple[int, str, str]],
    small_base: Path,
    rows: Callable[[str], str],
    tmp_path: Path,
    store: Store,
) -> None:
    half = tmp_path / "half"
    shutil.copytree(small_base, half)
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    data = rows("sft.parquet")
    keys = [call("sft", "--base", base, "--data", data, *QUICK)[1].strip() for base in (small_base, half)]
    settings = [store.artifact(key).identity["settings"]["precision"] for key in keys]
    assert settings == ["float32", "bfloat16"]
    known = store.artifact(keys[1]).parents["base"]
    again = call("sft", "--base", known, "--data", data, *QUICK)[1].strip()
    assert again == keys[1]
