"""A child process whose end is certain, whatever it or its parent does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from budgetctl.engines.child import Child, ChildDied

SERVER = """
import json, os, subprocess, sys, threading
replies = os.fdopen(int(sys.argv[-1]), "w")
print("started", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "close": break
    if request["do"] == "die": print("the last words", flush=True); os._exit(3)
    if request["do"] == "spawn":
        code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
        grandchild = subprocess.Popen([sys.executable, "-c", code])
        replies.write(json.dumps({"pid": grandchild.pid}) + "\\n"); replies.flush(); continue
    for number in range(request.get("n", 0)):
        replies.write(json.dumps({"number": number, "text": "ä" * 9000}) + "\\n")
    replies.flush()
"""
STUBBORN = (
    "import signal, sys, time\nsignal.signal(15, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(600)"
)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def start(tmp_path: Path, code: str = SERVER) -> Child:
    return Child([sys.executable, "-c", code], tmp_path / "log.txt", os.environ)


def test_requests_and_replies(tmp_path: Path) -> None:
    child = start(tmp_path)
    child.ask({"do": "count", "n": 20})
    replies = child.replies(30)
    assert [next(replies)["number"] for _ in range(20)] == list(range(20))
    child.ask({"do": "count", "n": 1})
    assert next(child.replies(30))["text"] == "ä" * 9000
    child.close()
    assert not alive(child.pid)


def test_a_death_tells_the_last_words(tmp_path: Path) -> None:
    child = start(tmp_path)
    child.ask({"do": "die"})
    with pytest.raises(ChildDied, match=r"(?s)ended with 3.*the last words"):
        next(child.replies(30))
    with pytest.raises(ChildDied):
        child.ask({"do": "count"})
    child.close()


def test_silence_is_a_death(tmp_path: Path) -> None:
    child = start(tmp_path)
    with pytest.raises(ChildDied, match=r"said nothing for 0.2 s"):
        next(child.replies(0.2))
    child.close()
    assert not alive(child.pid)


def test_a_whole_group_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("budgetctl.engines.child.TERMINATE_S", 0.5)
    child = start(tmp_path)
    child.ask({"do": "spawn"})
    grandchild = next(child.replies(30))["pid"]
    child.close()
    assert not alive(child.pid)
    assert not alive(grandchild)


def test_one_that_ignores_everything_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TERMINATE_S", "CLOSE_S"):
        monkeypatch.setattr(f"budgetctl.engines.child.{name}", 0.5)
    child = start(tmp_path, STUBBORN)
    until = time.monotonic() + 20
    while "here" not in (tmp_path / "log.txt").read_text() and time.monotonic() < until:
        time.sleep(0.05)
    child.close()
    assert not alive(child.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_vllm_process_leaves_with_its_parent(number: signal.Signals, tmp_path: Path) -> None:
    """The real child script, with a stand-in for vLLM that takes for ever to load."""
    (tmp_path / "vllm.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(600)\n")
    script = Path(__file__).resolve().parents[3] / "budgetctl/engines/vllm_child.py"
    code = f"""
import os, sys, time
from pathlib import Path
from budgetctl.engines.child import Child
child = Child([sys.executable, "-P", {str(script)!r}, "{{}}"], Path({str(tmp_path / "log.txt")!r}),
              {{**os.environ, "PYTHONPATH": {str(tmp_path)!r}}})
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    until = time.monotonic() + 20
    while "loading" not in (tmp_path / "log.txt").read_text() and time.monotonic() < until:
        time.sleep(0.05)
    assert alive(pid)
    parent.send_signal(number)
    parent.wait()
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)
