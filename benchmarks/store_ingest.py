"""Ingest of one 2 GB file and of 2,000 × 256 KiB, against plain BLAKE3 and `dvc add`, whole processes in turn.

python benchmarks/store_ingest.py --dvc PATH/bin/dvc --work FOLDER [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from store_measure import Took, in_turn, machine, table, took_by_process

INGEST = """
import sys
from pathlib import Path
from store import Payload, Store
source = Path(sys.argv[2])
draft = Store.open(sys.argv[1], create=True).draft(Payload("base", 1, {}))
for path in sorted(source.iterdir()) if source.is_dir() else [source]:
    draft.link(path, path.name)
draft.publish({}, {})
"""

HASH = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from blake3 import blake3
source = sys.argv[1]
def small(path):
    return blake3().update_mmap(path).hexdigest()
if os.path.isdir(source):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(small, [entry.path for entry in os.scandir(source)]))
else:
    blake3(max_threads=blake3.AUTO).update_mmap(source).hexdigest()
"""


def make_sources(work: Path) -> None:
    """Random bytes on disk, in the page cache and synced."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "big").exists():
        with (work / "big").open("wb") as file:
            for _ in range(200):
                file.write(os.urandom(10_000_000))
    if not (work / "many").exists():
        (work / "many").mkdir()
        for number in range(2000):
            (work / "many" / f"{number:04d}").write_bytes(os.urandom(256 * 1024))
    os.sync()


def measure_ours(work: Path, name: str) -> Took:
    store = work / "store"
    took = took_by_process([sys.executable, "-c", INGEST, str(store), str(work / name)], work)
    shutil.rmtree(store)
    os.sync()
    return took


def prepare_dvc(dvc: str, work: Path, link: str) -> Path:
    """An empty project, to be copied for every run; its state database lies beside it and is removed each time."""
    template = work / f"dvc-{link or 'default'}"
    shutil.rmtree(template, ignore_errors=True)
    template.mkdir()
    settings = {"core.site_cache_dir": str(work / "site"), "core.check_update": "false", "cache.type": link}
    commands = [
        ["init", "-q", "--no-scm"],
        *(["config", name, value] for name, value in settings.items() if value),
    ]
    for arguments in commands:
        subprocess.run([dvc, *arguments], cwd=template, check=True, stdout=subprocess.DEVNULL)
    return template


def measure_dvc(dvc: str, work: Path, name: str, template: Path) -> Took:
    project = work / "project"
    for leftover in (project, work / "site"):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(template, project)
    subprocess.run(["cp", "-rl", str(work / name), str(project / name)], check=True)
    os.sync()
    took = took_by_process([dvc, "add", "-q", name], project)
    shutil.rmtree(project)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dvc", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["big", "many"])
    options = parser.parse_args()
    work = options.work.absolute()
    make_sources(work)
    linking, copying = (prepare_dvc(options.dvc, work, link) for link in ("hardlink", ""))
    print(machine())
    sources = {"big": "one file of 2 GB", "many": "2,000 files of 256 KiB"}
    for name in [options.only] if options.only else sources:
        contenders = {
            "plain BLAKE3": lambda name=name: took_by_process(
                [sys.executable, "-c", HASH, str(work / name)], work
            ),
            "store ingest": lambda name=name: measure_ours(work, name),
            "dvc add, hard links": lambda name=name: measure_dvc(options.dvc, work, name, linking),
            "dvc add, default": lambda name=name: measure_dvc(options.dvc, work, name, copying),
        }
        print(
            f"\n{sources[name]}\n\n{table(in_turn(contenders, options.rounds), 'store ingest')}", flush=True
        )


if __name__ == "__main__":
    main()
