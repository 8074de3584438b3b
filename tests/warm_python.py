"""A stand-in for the Python interpreter whose processes begin with torch, TRL and the rest imported.

Imports are most of what a short process of these tests costs (10 s of a core), and what kills a process in its first
seconds hits nothing else. So one process, the nursery, imports everything once and forks at each call:

    caller ── stand-in (started and waited for like an interpreter, same pid as such)
    nursery ── guard ── the forked process, which runs the module

The stand-in passes its arguments, environment, folder and standard streams on, hands over every signal, and ends as the
forked process ends. Ends the stand-in, in whatever way, then the guard kills that process. What a forked process starts
with `sys.executable` is started like this, too. A call that is neither `-m module` nor a script, or whose environment
would change what was imported, gets the real interpreter. This file uses nothing but the standard library, so that the
stand-in is up in a few hundredths of a second.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

STEERING = ("CUDA_", "HF_", "LD_", "MKL_", "OMP_", "PYTHON", "TRANSFORMERS_", "TRL_")
"""Beginnings of the variables that are read while modules are imported."""
UNHEEDED = "HF_HUB_DISABLE_TELEMETRY"
"""Of those, what `budgetctl` sets for itself after its imports."""
PARENT = "BUDGETCTL_PARENT"
"""Names the process that a worker must not outlive: here that is the guard, which ends with the stand-in."""
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
LENGTH = struct.Struct("!I")
LOOK_S = 0.5
MOST_STREAMS = 100


@dataclass(frozen=True)
class Call:
    """How an interpreter was called."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    streams: list[int]


@contextmanager
def started_nursery(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the path of a stand-in, whose nursery lives as long as the context and has `environment`."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))  # the name of a socket may have 107 characters
    executable, address = folder / "python", folder / "socket"
    words = [sys.executable, "-I", "-S", __file__, "call", address, sys.executable]
    executable.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
    executable.chmod(0o755)
    nursery = subprocess.Popen(
        [sys.executable, "-P", __file__, "nursery", address, executable],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        while not address.exists():
            assert nursery.poll() is None, "the nursery did not start"
            select.select([], [], [], 0.01)
        yield executable
    finally:
        nursery.kill()
        nursery.wait()
        shutil.rmtree(folder)


def call(address: str, interpreter: str, arguments: list[str]) -> None:
    """Be the process that `interpreter arguments` would be."""
    parent = os.getppid()
    streams = [number for path in Path("/proc/self/fd").iterdir() if _is_open(number := int(path.name))]
    words = arguments[1:] if arguments[:1] == ["-P"] else arguments
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    connection = socket.socket(socket.AF_UNIX)
    pid = 0
    if words and (words[0] == "-m" or not words[0].startswith("-")):
        connection.connect(address)
        body = json.dumps(asdict(Call(arguments, str(Path.cwd()), dict(os.environ), streams))).encode()
        socket.send_fds(connection, [LENGTH.pack(len(body))], streams)
        connection.sendall(body)
        pid = _number(connection)
    if not pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        os.execv(interpreter, [interpreter, *arguments])

    def pass_on(number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    while not select.select([connection], [], [], LOOK_S)[0]:
        if os.getppid() != parent:
            os._exit(1)  # as a process that watches its parent would end
    code = os.waitstatus_to_exitcode(_number(connection))
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def nursery(address: str, executable: str) -> Call:
    """Import everything, then fork a process for every call. Returns in the forked processes only."""
    steering = _steering(os.environ)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{address}.new")
    listening.listen(64)
    sys.executable = executable
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    Path(f"{address}.new").rename(address)
    while os.getppid() == parent:
        if not select.select([listening], [], [], LOOK_S)[0]:
            continue
        connection, _ = listening.accept()
        if os.fork():
            connection.close()
            continue
        listening.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, MOST_STREAMS)
        wanted = Call(**json.loads(_read(connection, LENGTH.unpack(head)[0])))
        if _steering(wanted.environment) != steering:
            connection.sendall(LENGTH.pack(0))
            os._exit(0)
        if child := os.fork():
            for stream in streams:
                os.close(stream)
            _guard(connection, child)
        connection.close()
        _put(streams, wanted.streams)
        return wanted
    os._exit(0)


def _import_all() -> None:
    """Import what commands and trainings do; some names of lazy packages bring the rest."""
    for name in ("duckdb", "peft", "pyarrow.parquet", "budgetctl.cli.app", "budgetctl.training.processes"):
        importlib.import_module(name)
    transformers = importlib.import_module("transformers")
    for name in ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "PreTrainedTokenizerFast"):
        getattr(transformers, name)
    importlib.import_module("budgetctl.training.trl_trainers")
    gc.collect()
    gc.freeze()  # or each process would copy the pages of everything imported as soon as it collects


def _guard(connection: socket.socket, child: int) -> None:
    """Tell the stand-in how the child ends, or kill the child when the stand-in is gone."""
    connection.sendall(LENGTH.pack(child))
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        connection.sendall(LENGTH.pack(status))
    os._exit(0)


def _put(streams: list[int], places: list[int]) -> None:
    """Give received streams the numbers that they have in the stand-in."""
    aside = max(*streams, *places) + 1
    for number, stream in enumerate(streams):
        os.dup2(stream, aside + number)
        os.close(stream)
    for number, place in enumerate(places):
        os.dup2(aside + number, place)
        os.close(aside + number)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False  # it was the listing's own
    return True


def run(wanted: Call) -> object:
    """Be the module or script of a call, in a process that was forked for it; return what it leaves with."""
    os.setsid()
    os.chdir(wanted.folder)
    os.environ.clear()
    os.environ.update(wanted.environment)
    if PARENT in os.environ:
        os.environ[PARENT] = str(os.getppid())
    safe_path = wanted.arguments[0] == "-P"
    words = wanted.arguments[1:] if safe_path else wanted.arguments
    try:
        if words[0] == "-m":
            if not safe_path:
                sys.path.insert(0, wanted.folder)
            sys.argv = ["", *words[2:]]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        return end.code
    return None


def _end(code: object) -> None:
    """End as the interpreter does, but for taking all that was imported apart, which costs half a second."""
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit((code or 0) & 0xFF)


def _steering(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environment.items() if name.startswith(STEERING) and name != UNHEEDED
    }


def _read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise ConnectionResetError
        found += part
    return found


def _number(connection: socket.socket) -> int:
    number: int = LENGTH.unpack(_read(connection, LENGTH.size))[0]
    return number


if __name__ == "__main__":
    if sys.argv[1] == "call":
        call(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        _end(run(nursery(*sys.argv[2:])))
