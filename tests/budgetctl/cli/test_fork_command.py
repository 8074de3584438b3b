"""`budgetctl fork` as it is called: keys on stdout, what became of each trigger on stderr, refusals in sentences."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from watched_runs import write_rows

from budgetctl.__main__ import run
from budgetctl.cli.app import app
from budgetctl.forking.records import read_forks
from budgetctl.models.adapters import Adapter
from store import Payload, Store
from tests.e2e.commands import clean_environment

SETTINGS = ("--epochs", "10", "--lr", "1e-2", "--batch-size", "8", "--set", "lora.rank=8", "--samples", "2",
            "--max-new-tokens", "8", "--device", "cpu", "--threads", "1")  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., str]:
    """Publish rows of `watched_runs` in the store of this test."""
    write_rows(tmp_path)
    opened = Store.open(tmp_path / "store", create=True)

    def publish(name: str, split: str, **metrics: Any) -> str:
        payload = Payload(stage="data", revision=1, identity={"task": "arith", "split": split}, parents={})
        draft = opened.draft(payload)
        (draft.files / name).write_bytes((tmp_path / name).read_bytes())
        return draft.publish(metrics, {}).key

    return publish


@pytest.fixture
def call(tmp_path: Path, small_base: Path, rows: Callable[..., str]) -> Callable[..., Any]:
    data, dev = rows("sft.parquet", "train", rows=22), rows("eval.parquet", "dev")

    def invoke(*options: str, dev: str = dev) -> Any:
        places = ("--base", str(small_base), "--data", data, "--dev", dev, "--store", str(tmp_path / "store"))
        return CliRunner().invoke(app, ["fork", *places, *SETTINGS, *options])

    return invoke


def test_keys_of_the_kept_states(call: Callable[..., Any], tmp_path: Path) -> None:
    options = ("--perplexity", "30", "--perplexity", "29", "--perplexity", "1.0001", "--at", "50",
               "--monitor", "pass@1", "--plateau", "perplexity:2:0.2", "--evaluate-every", "24")  # fmt: skip
    made = call(*options)
    assert made.exit_code == 0, made.output
    store = Store.open(tmp_path / "store")
    forks = [store.artifact(key) for key in made.stdout.split()]
    states = [fork.metrics["trigger"] for fork in forks]
    assert states[0] == "perplexity<=29"
    assert "examples=50" in states
    assert all(fork.metrics["fired"] and not fork.metrics["same_as"] for fork in forks)
    lines = {line.split()[0]: line for line in made.stderr.splitlines() if line}
    assert lines["perplexity<=30"].endswith("as perplexity<=29")
    assert "never fired; best seen after" in lines["perplexity<=1.0001"]
    assert lines["examples=50"].endswith(forks[states.index("examples=50")].key[:12])
    (trunk,) = (artifact for artifact in store.artifacts() if artifact.stage == "trunk")
    assert trunk.key in made.stderr
    assert trunk.identity["watch"]["every"] == 24

    again = call(*options)
    assert again.stdout == made.stdout
    assert "found" in again.stderr
    card = tmp_path / "model"
    done = CliRunner().invoke(
        app, ["export", forks[0].key, "--to", str(card), "--adapter", "--store", str(tmp_path / "store")]
    )
    assert done.exit_code == 0, done.output
    assert trunk.key in (card / "README.md").read_text()
    assert (card / "chat_template.jinja").exists()


def test_nothing_fires(call: Callable[..., Any], tmp_path: Path) -> None:
    made = call("--pass", "2:0.999", "--anneal", "0.1")
    assert made.exit_code == 0, made.output
    assert made.stdout == ""
    assert "nothing can be forked from this run" in made.stderr
    store = Store.open(tmp_path / "store")
    (fork,) = (artifact for artifact in store.artifacts() if artifact.stage == "fork")
    (trunk,) = (artifact for artifact in store.artifacts() if artifact.stage == "trunk")
    assert trunk.identity["watch"]["every"] == 14  # 28 steps of 8, evaluated 16 times
    assert trunk.identity["watch"]["keep_state"]
    refused = CliRunner().invoke(
        app, ["gen", fork.key, "--data", trunk.parents["dev"], "--store", str(tmp_path / "store")]
    )
    assert "pass@2>=0.999 never fired" in str(refused.exception)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "say at which states to fork"),
        (("--pass", "0.3"), "--pass takes K:SHARE"),
        (("--pass", "8:0.3"), "at least 8 answers"),
        (("--perplexity", "0.5"), "greater than 1"),
        (("--plateau", "perplexity:3:0.1:9"), "METRIC:PATIENCE:GAIN"),
        (("--plateau", "loss"), "metric"),
        (("--at", "5000"), "processes only 224 examples"),
        (("--at", "50", "--anneal", "2"), "less than or equal to 1"),
        (("--at", "50", "--set", "weights=full", "--set", "lora.rank=32"), "weights: full would keep"),
        (("--at", "50", "--monitor", "bleu"), "monitors"),
        (("--at", "50", "--loose"), "task arith reads answers in one way only"),
    ],
)
def test_refusals_come_before_any_work(
    options: tuple[str, ...], sentence: str, call: Callable[..., Any], tmp_path: Path
) -> None:
    refused = call(*options)
    assert refused.exit_code != 0
    assert sentence in str(refused.exception)
    assert refused.stdout == ""
    made = {artifact.stage for artifact in Store.open(tmp_path / "store").artifacts()}
    assert made == {"data"}, (
        "the base, which may take long to make, is made when all else is known to be right"
    )


def test_test_rows_never_decide(
    call: Callable[..., Any], rows: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = call("--at", "50", dev=rows("eval.parquet", "test"))
    assert "test rows report, they never decide" in str(refused.exception)
    assert run(["fork", "--base", "tiny", "--data", "x"]) == 2
    assert "--dev" in capsys.readouterr().err


def _wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while text not in log.read_text() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


@pytest.mark.slow
def test_signals_and_kills_leave_the_same_forks(
    rows: Callable[..., str], small_base: Path, warm_budgetctl: tuple[str, ...], tmp_path: Path
) -> None:
    """Real processes: USR2 and SIGKILL at random evaluations, then the same records and states as undisturbed."""
    data, dev = rows("sft.parquet", "train", rows=22), rows("eval.parquet", "dev")
    shutil.copytree(tmp_path / "store", tmp_path / "calm")
    command = [*warm_budgetctl, "fork", "--base", small_base, "--data", data, "--dev", dev,
               *SETTINGS, "--perplexity", "30", "--perplexity", "3", "--pass", "2:0.1", "--every", "80"]  # fmt: skip
    environment = clean_environment(BUDGETCTL_FORK_EVALUATE_EVERY="16")

    def start(store: str, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as stream:
            return subprocess.Popen(
                [*command, "--store", tmp_path / store],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=stream,
            )

    calm = start("calm", tmp_path / "calm.log")
    expected = calm.communicate()[0]
    assert calm.returncode == 0, (tmp_path / "calm.log").read_text()
    dice, codes = random.Random(3), []
    for number, kind in enumerate((signal.SIGUSR2, signal.SIGKILL, signal.SIGUSR2)):
        log = tmp_path / f"{number}.log"
        process = start("store", log)
        _wait_for(f"step {dice.randrange(14 * number, 14 * number + 6, 2)},", log, process)
        process.send_signal(kind)
        process.communicate()
        codes.append(process.returncode)
    assert codes.count(75) + codes.count(-signal.SIGKILL) >= 2, codes
    last = start("store", tmp_path / "last.log")
    assert last.communicate()[0] == expected
    assert last.returncode == 0
    trunks = [
        artifact for name in ("calm", "store") for artifact in Store.open(tmp_path / name).artifacts()
        if artifact.stage == "trunk"
    ]  # fmt: skip
    one, other = trunks
    records = [read_forks(trunk.path("forks.json")) for trunk in trunks]
    assert [(fork.trigger, fork.fired, fork.step, fork.same_as, fork.folder) for fork in records[0]] == [
        (fork.trigger, fork.fired, fork.step, fork.same_as, fork.folder) for fork in records[1]
    ]
    for fork in records[0]:
        if fork.folder is not None:
            first, second = (Adapter.load(trunk.path(fork.folder)).weights for trunk in trunks)
            assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-6
    assert {name for name in one.files if name.startswith("at/")} == {
        name for name in other.files if name.startswith("at/")
    }
