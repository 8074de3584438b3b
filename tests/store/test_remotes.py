"""Push and pull over a folder, a real S3-speaking server and a real SSH server, both on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import fsspec
import pytest
from storekit import Publish

from store import Store
from store.check import verify
from store.collect import demote
from store.errors import CorruptArtifact, MissingArtifact, RemoteError
from store.remote import Remote, redact
from store.transfer import Transfer, pull, push, sync


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def s3_server() -> Iterator[dict[str, Any]]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the S3 server did not start"
                time.sleep(0.1)
        yield {"key": "tester", "secret": "very-secret", "endpoint_url": f"http://127.0.0.1:{port}"}
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    root, port = tmp_path_factory.mktemp("ssh"), free_port()
    started, loop = threading.Event(), asyncio.new_event_loop()

    class PasswordServer(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("tester", "very-secret")

    async def serve() -> None:
        await asyncssh.create_server(
            PasswordServer, "127.0.0.1", port, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(root)),
        )  # fmt: skip
        started.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(20), "the SSH server did not start"
    yield {"port": port, "username": "tester", "password": "very-secret"}

    async def stop() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture(params=["folder", "s3", "ssh"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "folder":
        return Remote(str(tmp_path / "a remote with ünicode"))
    if request.param == "s3":
        options = request.getfixturevalue("s3_server")
        bucket = f"bucket-{time.monotonic_ns()}"
        fsspec.filesystem("s3", **options).mkdir(bucket)
        return Remote(f"s3://{bucket}/team/store", **options)
    return Remote(f"sftp://127.0.0.1/store-{time.monotonic_ns()}", **request.getfixturevalue("ssh_server"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "another machine" / "store", create=True)


def chain(publish: Publish, length: int = 4) -> list[str]:
    """Artifacts each of which has the one before as its parent, and one file that all share."""
    keys: list[str] = []
    for number in range(length):
        files = {"own file": b"%d" % number * 50, "däta/shared": b"shared" * 100, "empty": b""}
        keys.append(publish(number, files, {"parent": keys[-1]} if keys else {}).key)
    return keys


def test_lineage_travels_and_only_what_is_missing_is_copied(
    remote: Remote, store: Store, elsewhere: Store, publish: Publish
) -> None:
    keys = chain(publish)
    loose = publish(99).key
    plan = store.save_plan({"cells": [{"name": "c", "axes": {}, "stages": {}, "result": keys[-1]}]})
    assert push(store, remote, [keys[-1]], [plan]) == Transfer(4, 6, 4 * 50 + 600, 0)
    assert push(store, remote, [keys[-1]]) == Transfer(present=4)
    assert remote.keys() == sorted(keys) and remote.plans() == [plan]
    assert not remote.has(loose)
    assert pull(elsewhere, remote, [keys[-1]], [plan]).artifacts == 4
    assert sorted(elsewhere.keys()) == sorted(keys)
    assert verify(elsewhere.layout, elsewhere.keys(), deep=True).findings == ()
    for key in keys:
        assert elsewhere.layout.manifest(key).read_bytes() == store.layout.manifest(key).read_bytes()
    assert elsewhere.load_plan(plan) == store.load_plan(plan)
    assert pull(elsewhere, remote, [keys[-1]]) == Transfer(present=4)


def test_bytes_that_changed_on_the_remote_are_refused(
    remote: Remote, store: Store, elsewhere: Store, publish: Publish
) -> None:
    artifact = publish(1, {"w": b"weights"})
    push(store, remote, [artifact.key])
    digest = artifact.files["w"].hash
    remote.send_document(f"blobs/{digest[:2]}/{digest}", b"WEIGHTS")
    with pytest.raises(CorruptArtifact, match="are not those of its hash"):
        pull(elsewhere, remote, [artifact.key])
    assert not elsewhere.has(artifact.key) and not list(elsewhere.root.glob("blobs/??/*"))
    remote.send_document(f"blobs/{digest[:2]}/{digest}", b"weights")
    assert pull(elsewhere, remote, [artifact.key]).artifacts == 1


def test_a_blob_that_is_cut_short_on_the_remote_is_sent_again(
    remote: Remote, store: Store, publish: Publish
) -> None:
    artifact = publish(1, {"w": b"weights"})
    digest = artifact.files["w"].hash
    remote.prepare()
    remote.send_document(f"blobs/{digest[:2]}/{digest}", b"wei")
    assert push(store, remote, [artifact.key]).files == 1


def test_what_is_not_there_is_said(remote: Remote, store: Store, elsewhere: Store, publish: Publish) -> None:
    with pytest.raises(MissingArtifact, match="is not in the store"):
        push(store, remote, ["f" * 64])
    with pytest.raises(MissingArtifact, match="is not on"):
        pull(elsewhere, remote, ["f" * 64])
    with pytest.raises(MissingArtifact, match="has no plan"):
        pull(elsewhere, remote, [], ["e" * 64])


def test_a_damaged_file_is_not_pushed(store: Store, publish: Publish, tmp_path: Path) -> None:
    artifact = publish(1, {"w": b"weights"})
    artifact.path("w").chmod(0o644)
    artifact.path("w").write_bytes(b"WEIGHTS")
    remote = Remote(str(tmp_path / "remote"))
    with pytest.raises(CorruptArtifact, match="not sent"):
        push(store, remote, [artifact.key])
    assert remote.keys() == []


def test_a_killed_pull_continues_where_it_was(
    store: Store, elsewhere: Store, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = publish(1, {f"f{number}": b"%d" % number * 100 for number in range(8)})
    push(store, Remote(str(tmp_path / "remote")), [artifact.key])
    code = """
import os, sys
from store import Store
from store.remote import Remote
from store.transfer import pull
brought = []
fetch = Remote.fetch_blob
def fetch_five(self, digest, target):
    there = fetch(self, digest, target)
    brought.append(digest)
    if len(brought) == 5:
        os.kill(os.getpid(), 9)
    return there
Remote.fetch_blob = fetch_five
pull(Store.open(sys.argv[1]), Remote(sys.argv[2]), [sys.argv[3]])
"""
    command = [sys.executable, "-c", code, str(elsewhere.root), str(tmp_path / "remote"), artifact.key]
    assert subprocess.run(command, check=False).returncode == -9
    assert not elsewhere.has(artifact.key)
    done = pull(elsewhere, Remote(str(tmp_path / "remote")), [artifact.key])
    assert done.artifacts == 1 and done.files < 8
    assert verify(elsewhere.layout, elsewhere.keys(), deep=True).findings == ()


def test_pull_brings_back_what_demote_dropped(store: Store, publish: Publish, tmp_path: Path) -> None:
    artifact, remote = publish(1, {"optimizer": b"o" * 10, "w": b"w"}), Remote(str(tmp_path / "remote"))
    push(store, remote, [artifact.key])
    demote(store.layout, [artifact.key], {"sft": ["optimizer"]}, dry_run=False)
    assert pull(store, remote, [artifact.key]) == Transfer(0, 1, 10, 0)
    assert store.artifact(artifact.key, deep=True).path("optimizer").read_bytes() == b"o" * 10


def test_sync_brings_both_sides_together(
    store: Store, elsewhere: Store, publish: Publish, tmp_path: Path
) -> None:
    remote = Remote(str(tmp_path / "remote"))
    here, there = publish(1), publish(2, into=elsewhere)
    push(elsewhere, remote, [there.key])
    sync(store, remote, [here.key, there.key])
    assert store.has(there.key) and remote.keys() == sorted([here.key, there.key])


def test_an_alias_travels(store: Store, elsewhere: Store, publish: Publish, tmp_path: Path) -> None:
    old, remote = publish(1), Remote(str(tmp_path / "remote"))
    (new,) = store.migrate(lambda p: type(p)(p.stage, p.revision + 1, p.identity, p.parents)).values()
    push(store, remote, [new])
    pull(elsewhere, remote, [new])
    assert elsewhere.artifact(new).key == old.key


OTHER_MACHINE = """
import os, socket, sys
import store.index
from store import Store
from store.check import verify
from store.remote import Remote
from store.transfer import pull
user = int(sys.argv[5])
remote = Remote(sys.argv[2])
if user:  # after everything is imported: that user need not be able to read the interpreter
    os.setgid(user)
    os.setuid(user)
store = Store.open(sys.argv[1], create=True)
pull(store, remote, [sys.argv[3]], [sys.argv[4]])
assert verify(store.layout, store.keys(), deep=True).findings == ()
index = store.index()
print(socket.gethostname(), os.getuid(), index.query("SELECT cell, metric, value FROM sweep").rows)
print(index.query("SELECT count(*) FROM attempts").rows, len(list(store.keys())))
"""


def test_another_machine_verifies_and_reports_without_running_anything(
    store: Store, publish: Publish
) -> None:
    keys = chain(publish)
    plan = store.save_plan({"cells": [{"name": "n=7", "axes": {"n": 7}, "stages": {}, "result": keys[-1]}]})
    root = os.geteuid() == 0
    user = 65534 if root else 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        push(store, Remote(str(folder / "remote")), [keys[-1]], [plan])
        folder.chmod(0o777)
        arguments = [str(folder / "its store"), str(folder / "remote"), keys[-1], plan, str(user)]
        namespace = ["unshare", "--uts"] if root else ["unshare", "--user", "--map-root-user", "--uts"]
        command = [
            *namespace,
            "sh",
            "-c",
            'hostname other-host; exec "$@"',
            "-",
            sys.executable,
            "-c",
            OTHER_MACHINE,
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"other-host {user} [('n=7', 'loss', 1.5)]\n[(0,)] 4\n"


def test_credentials_are_never_printed(tmp_path: Path) -> None:
    assert redact("sftp://me:hunter2@host/path") == "sftp://host/path"
    assert redact("GET https://u:p@h/x?X-Amz-Signature=abc failed") == "GET https://h/x failed"
    port = free_port()
    with pytest.raises(RemoteError) as caught:
        Remote(f"sftp://me:hunter2@127.0.0.1:{port}/store").keys()
    assert "hunter2" not in str(caught.value) and "me@" not in str(caught.value)


def test_a_wrong_password_is_a_sentence(s3_server: dict[str, Any]) -> None:
    remote = Remote("s3://no-such-bucket/store", **s3_server)
    with pytest.raises((RemoteError, MissingArtifact)) as caught:
        remote.manifest("f" * 64)
    assert "very-secret" not in str(caught.value)
