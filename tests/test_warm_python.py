"""A process of the stand-in is one of the interpreter in all that tests look at."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import clean_environment

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(warm_python: Path, tmp_path: Path) -> Start:
    """Start a module of that source, which has the path of its own folder as an argument."""

    def started(source: str, **more: object) -> subprocess.Popen[str]:
        (tmp_path / "job.py").write_text(source)
        streams = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        options = {"cwd": tmp_path, "env": clean_environment(), "text": True, **streams, **more}
        return subprocess.Popen([warm_python, "-m", "job", tmp_path], **options)  # type: ignore[call-overload, no-any-return]

    return started


def test_arguments_streams_and_folder_are_those_of_the_call(start: Start, tmp_path: Path) -> None:
    process = start("import os, sys\nprint(sys.argv[1:], os.getcwd(), sys.stdin.read())\nsys.exit('no')")
    assert process.communicate("hello") == (f"{[str(tmp_path)]} {tmp_path} hello\n", "no\n")
    assert process.returncode == 1


def test_imports_are_done(start: Start) -> None:
    process = start("import sys\nprint('trl' in sys.modules)")
    assert process.communicate()[0] == "True\n"


def test_variables_that_steer_imports_get_the_interpreter_itself(start: Start) -> None:
    process = start("import sys\nprint('trl' in sys.modules)", env=clean_environment(HF_HOME="/nowhere"))
    assert process.communicate()[0] == "False\n"


def test_more_streams_are_passed_on(start: Start) -> None:
    reader, writer = os.pipe()
    process = start(f"import os\nos.write({writer}, b'said')", pass_fds=(writer,))
    os.close(writer)
    assert os.read(reader, 10) == b"said"
    assert process.wait(20) == 0
    os.close(reader)


def test_signals_reach_it_and_its_end_is_told(start: Start) -> None:
    process = start("import time\nprint('up', flush=True)\ntime.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGUSR1)
    assert process.wait(20) == -signal.SIGUSR1
    process.communicate()


def test_it_ends_with_a_stand_in_that_is_killed(start: Start) -> None:
    process = start("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_it_starts_is_warm_too(start: Start) -> None:
    inner = "import sys; sys.exit('trl' in sys.modules)"
    process = start(
        "import pathlib, subprocess, sys\n"
        f"pathlib.Path('inner.py').write_text({inner!r})\n"
        "print(subprocess.run([sys.executable, 'inner.py']).returncode)"
    )
    assert process.communicate()[0] == "1\n"
