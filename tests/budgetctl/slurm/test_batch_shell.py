"""The shell of the batch script around a worker that behaves in every way a worker can."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from budgetctl.slurm.script import Job, render_slurm
from budgetctl.slurm.settings import SlurmSettings

QUIET = "trap 'exit 75' USR2 TERM; touch ready; while :; do sleep 0.05; done"


@dataclass
class Ran:
    code: int
    said: str
    starts: int
    seconds: float


@pytest.fixture
def script(tmp_path: Path) -> Path:
    job = Job(
        plan="ab" * 32, name="x", store=tmp_path / "st", logs=tmp_path / "logs", python=str(tmp_path / "worker"),
        workers=1, options=(), summary="", revision="", made_with="",
    )  # fmt: skip
    path = tmp_path / "script.sh"
    path.write_text(render_slurm(SlurmSettings(warn_s=10, max_timeouts=2), job))
    return path


def run(script: Path, worker: str, *signals: int, environment: dict[str, str] | None = None) -> Ran:
    """Run the script with a worker made of shell; send it signals once the worker has made the file `ready`."""
    folder = script.parent
    (folder / "worker").write_text(f"#!/bin/bash\ncd {folder}\necho x >> starts\n{worker}\n")
    (folder / "worker").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    process = subprocess.Popen(
        ["bash", str(script)], stderr=subprocess.PIPE, text=True, env=kept | (environment or {})
    )
    started = time.monotonic()
    for number in signals:
        while not (folder / "ready").exists():
            assert time.monotonic() - started < 20
            time.sleep(0.02)
        process.send_signal(number)
    _, said = process.communicate(timeout=40)
    return Ran(
        process.returncode, said, (folder / "starts").read_text().count("x"), time.monotonic() - started
    )


@pytest.mark.parametrize("code", [0, 1, 2, 5])
def test_an_exit_code_is_passed_on(script: Path, code: int) -> None:
    ran = run(script, f"exit {code}")
    assert (ran.code, ran.starts) == (code, 1)


def slurm_job(tmp_path: Path, answer: str = "exit 0") -> dict[str, str]:
    """The environment of array task 7_3 on a machine whose `scontrol` writes down what it is asked, then answers."""
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "scontrol").write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/asked\n{answer}\n')
    (fake / "squeue").write_text("#!/bin/bash\necho NONE\n")
    for name in ("scontrol", "squeue"):
        (fake / name).chmod(0o755)
    job = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    return job | {"PATH": f"{fake}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("answer", "said", "unsaid"),
    [
        ('echo "7_3: Job is pending execution" >&2; exit 1', "7_3 is there already", "submit the plan again"),
        ('echo "Access denied" >&2; exit 1', "cannot requeue 7_3 (Access denied); submit", "there already"),
    ],
)
def test_a_refused_requeue_says_what_follows(
    script: Path, tmp_path: Path, answer: str, said: str, unsaid: str
) -> None:
    ran = run(script, QUIET, signal.SIGUSR2, environment=slurm_job(tmp_path, answer))
    assert ran.code == 75
    assert said in ran.said
    assert unsaid not in ran.said


def test_the_warning_reaches_the_worker_and_the_job_goes_back_to_the_queue(
    script: Path, tmp_path: Path
) -> None:
    environment = slurm_job(tmp_path)
    for _ in range(3):
        ran = run(script, QUIET, signal.SIGUSR2, environment=environment)
        assert ran.code == 75
        (tmp_path / "ready").unlink()
    assert (tmp_path / "asked").read_text() == "requeue 7_3\n" * 2, "the third time is one too many"
    assert "more than the 2 allowed" in ran.said


def test_after_term_the_decision_is_left_to_slurm(script: Path) -> None:
    ran = run(
        script, QUIET, signal.SIGTERM, environment={"SLURM_JOB_ID": "9", "SLURM_JOB_END_TIME": "9999999999"}
    )
    assert ran.code == 75
    assert "requeue" not in ran.said
    assert "back to the queue" not in ran.said


def test_several_signals_do_not_confuse_it(script: Path) -> None:
    ran = run(
        script, QUIET.replace("exit 75", "sleep 0.3; exit 75"), signal.SIGUSR2, signal.SIGUSR2, signal.SIGTERM
    )
    assert ran.code == 75
    assert ran.starts == 1


def test_a_worker_that_does_not_stop_is_killed_before_the_time_limit(script: Path) -> None:
    ran = run(script, "trap '' USR2 TERM; touch ready; while :; do sleep 0.05; done", signal.SIGUSR2)
    assert ran.code == 75
    assert 7 <= ran.seconds < 15
    assert "does not stop; killing it" in ran.said


def test_a_worker_that_crashes_is_started_again_three_times(script: Path) -> None:
    ran = run(script, "kill -SEGV $$")
    assert (ran.code, ran.starts) == (139, 4)


def test_a_signal_before_the_worker_listens_is_an_interruption_too(script: Path) -> None:
    ran = run(script, "touch ready; sleep 20", signal.SIGUSR2)
    assert (ran.code, ran.starts) == (75, 1)
