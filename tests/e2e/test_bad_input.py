"""Bad input: one sentence on stderr, nothing on stdout, and the right exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import BUDGETCTL, Run, clean_environment

QUESTION = {"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"}


def gsm8k_folder(tmp_path: Path, train: str | bytes, test: str | None = None) -> Path:
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    content = train if isinstance(train, bytes) else train.encode()
    (folder / "train.jsonl").write_bytes(content)
    (folder / "test.jsonl").write_text(test if test is not None else json.dumps(QUESTION) + "\n")
    return folder


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One sentence that holds every word, no traceback, nothing on stdout."""
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nbase: tiny\ntask: arith\nbudgets: [10]\nsead: 1\n", ["unknown key `sead`", "`seeds`"]),
        ("name: a\nbase: tiny\ntask: arith\nbudgets: [10]\nshares: [1.2]\n", ["shares.0", "1.2"]),
        ("name: a\nbase: tiny\ntask: arithh\nbudgets: [10]\n", ["arithh", "arith"]),
        ("name: a\nbase: tiny\ntask: arith\nbudgets: [10]\nmethod: ppo\n", ["ppo"]),
        ("name: a\nbase: tiny\ntask: arith\nbudgets: [10]\nsft: {epoch: 1}\n", ["epoch", "epochs"]),
        ("name: a\nbase: no/such-folder/here\ntask: arith\nbudgets: [10]\n", ["no/such-folder/here"]),
        ("name: a\nbase: tiny\ntask: gsm8k\nbudgets: [10]\ndata: {path: nowhere}\n", ["nowhere"]),
        ("name: [", ["not valid YAML"]),
    ],
)
def test_a_wrong_recipe(budgetctl: Run, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    refused(budgetctl("plan", "--grid", "recipe.yaml", check=2), *words)


def test_a_missing_recipe(budgetctl: Run) -> None:
    refused(budgetctl("run", "--grid", "none.yaml", check=2), "none.yaml", "budgetctl init")


def test_a_budget_beyond_the_rows_fails_in_the_plan(budgetctl: Run, tmp_path: Path, store: Path) -> None:
    rows = "".join(json.dumps(QUESTION | {"question": f"What is {i} + 1?"}) + "\n" for i in range(20))
    gsm8k_folder(tmp_path, rows)
    (tmp_path / "r.yaml").write_text(
        "{name: a, base: tiny, task: gsm8k, budgets: [10, 50], shares: [1], data: {path: gsm8k}}"
    )
    refused(budgetctl("plan", "--grid", "r.yaml", check=2), "has 18 SFT rows", "50 are asked for")


def test_malformed_rows_are_named_by_file_and_line(budgetctl: Run, tmp_path: Path) -> None:
    folder = gsm8k_folder(tmp_path, json.dumps(QUESTION) + "\n{broken\n")
    refused(budgetctl("data", "gsm8k", "--path", folder, "--size", 1, check=2), "train.jsonl", "line 2")


def test_invalid_utf8_is_named_by_file_and_line(budgetctl: Run, tmp_path: Path) -> None:
    folder = gsm8k_folder(tmp_path, json.dumps(QUESTION).encode() + b'\n{"question": "\xff"}\n')
    refused(budgetctl("data", "gsm8k", "--path", folder, "--size", 1, check=2), "train.jsonl", "line 2")


def test_an_empty_dataset(budgetctl: Run, tmp_path: Path) -> None:
    folder = gsm8k_folder(tmp_path, "")
    done = budgetctl("data", "gsm8k", "--path", folder, "--size", 1, check=None)
    assert done.returncode in (1, 2)
    refused(done, "has no SFT rows")


def test_more_rows_than_there_are(budgetctl: Run, tmp_path: Path) -> None:
    folder = gsm8k_folder(tmp_path, json.dumps(QUESTION | {"question": "What is 2 + 0?"}) + "\n")
    refused(budgetctl("data", "gsm8k", "--path", folder, "--size", 5, check=1), "5")


def test_a_missing_path(budgetctl: Run) -> None:
    refused(budgetctl("data", "gsm8k", "--path", "nowhere", "--size", 1, check=2), "nowhere")


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (("data", "gsm8k", "--size", 3), "--path"),
        (("base", "Qwen/Qwen2.5-3B"), "local folder"),
    ],
)
def test_an_unreachable_hub(budgetctl: Run, tmp_path: Path, command: tuple[object, ...], advice: str) -> None:
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hub")}
    refused(budgetctl(*command, check=1, **closed), "hub", advice)


def test_unknown_and_ambiguous_prefixes(budgetctl: Run, store: Path) -> None:
    made = [budgetctl("data", "arith", "--size", size).stdout.strip() for size in (1, 2, 3)]
    unknown = next(f"{i:02x}" for i in range(256) if not any(key.startswith(f"{i:02x}") for key in made))
    refused(budgetctl("store", "show", unknown, check=3), unknown)
    refused(budgetctl("sft", "--base", "tiny", "--data", unknown, check=3), unknown)
    ambiguous = store / "artifacts" / made[0][:2] / (made[0][:8] + "0" * 56)
    ambiguous.symlink_to(store / "artifacts" / made[0][:2] / made[0])  # two keys with one beginning
    refused(budgetctl("store", "show", made[0][:8], check=2), "fits 2")


def test_a_corrupt_artifact_is_never_handed_out(budgetctl: Run, store: Path) -> None:
    key = budgetctl("data", "arith", "--size", 5).stdout.strip()
    rows = store / "artifacts" / key[:2] / key / "files" / "sft.parquet"
    rows.chmod(0o644)
    rows.write_bytes(rows.read_bytes()[:-1])
    refused(budgetctl("data", "arith", "--size", 5, check=5), key[:12], "repair")
    verified = budgetctl("store", "verify", check=5)
    assert "sft.parquet" in verified.stdout


def test_a_store_of_a_newer_version(budgetctl: Run, store: Path) -> None:
    budgetctl("data", "arith", "--size", 1)
    version = store / "VERSION"
    version.chmod(0o644)
    version.write_text(version.read_text().replace("1", "99", 1))
    refused(budgetctl("data", "arith", "--size", 1, check=1), "99")


def test_a_store_that_is_not_there(budgetctl: Run) -> None:
    refused(budgetctl("store", "ls", check=1), "is not a store")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_no_space_left(budgetctl: Run, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        done = budgetctl("data", "arith", "--size", 8000, "--store", small / "store", check=1)
        refused(done, "no space left")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    budgetctl: Run, tmp_path: Path, store: Path
) -> None:
    command = [BUDGETCTL, "base", "tiny", "--set", "steps=100000"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=clean_environment(BUDGETCTL_STORE=str(store)),
        stderr=subprocess.PIPE,
        text=True,
        # a test run started in the background of a shell ignores Ctrl-C, and its children would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        assert process.stderr is not None
        assert any("pretraining" in line for line in process.stderr), "it never began"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_a_closed_pipe_is_no_error(budgetctl: Run, store: Path, tmp_path: Path) -> None:
    budgetctl("data", "arith", "--size", 1)
    done = subprocess.run(
        f"{BUDGETCTL} store ls --json | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=tmp_path,
        env=clean_environment(BUDGETCTL_STORE=str(store)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("0", "141")
    assert "Traceback" not in done.stderr
