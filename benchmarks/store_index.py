"""Opening an artifact, updating the index and querying it, on a store of 100,000 artifacts with a million metrics.

python benchmarks/store_index.py --work FOLDER [--artifacts 100000] [--rounds 15]
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from store_bulk import METRICS, bulk_store, sweep_payloads
from store_measure import Took, in_turn, machine, table, took_by_call, took_by_process

from store import Payload, Store
from store.index import Index

BEST = """
SELECT axes->>'budget' AS budget, axes->>'share' AS share, max(value) AS best
FROM sweep WHERE metric = 'metric/3' GROUP BY ALL ORDER BY ALL
"""
BEST_BY_STAGE = (
    "SELECT key, max(value) FROM metrics WHERE name = 'metric/3' GROUP BY key ORDER BY 2 DESC LIMIT 10"
)
REFRESH = "import sys; from store import Store; Store.open(sys.argv[1]).index().refresh()"


def artifact_with_files(store: Store, files: int) -> str:
    draft = store.draft(Payload("base", 1, {"files": files}))
    for number in range(files):
        (draft.files / f"model-{number:05d}.safetensors").write_bytes(b"%d" % number * 100)
    return draft.publish({}, {}).key


def save_plans(store: Store, artifacts: int) -> int:
    """Plans of 10,000 cells each; every artifact of a stage `eval` is the result of one cell."""
    results = [payload.key for payload in sweep_payloads(artifacts) if payload.stage == "eval"]
    cells = [
        {"name": f"cell-{number}", "axes": {"budget": number // 14, "share": number // 2 % 7, "seed": number % 2},
         "stages": {"eval": key}, "result": key}
        for number, key in enumerate(results)
    ]  # fmt: skip
    for start in range(0, len(cells), 10_000):
        store.save_plan({"recipe": {}, "cells": cells[start : start + 10_000], "roots": []})
    return len(cells)


def publish_one(store: Store, number: int) -> None:
    store.draft(Payload("eval", 1, {"late": number})).publish({"metric/3": 0.5}, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--artifacts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--reuse", action="store_true", help="take the artifacts and the index that an earlier run left"
    )
    options = parser.parse_args()
    root = options.work.absolute() / "indexed"
    if options.reuse:
        store = Store.open(root)
    else:
        shutil.rmtree(root, ignore_errors=True)
        store = bulk_store(root, options.artifacts)
    cells = save_plans(store, options.artifacts)
    key = artifact_with_files(store, 50)
    time.sleep(3)  # until the folders' time stamps are old enough to be trusted, as they are in use
    print(machine())
    built = took_by_call(store.index().refresh)
    print(
        f"\nindex of {options.artifacts} artifacts, {cells} cells: {built.wall:.1f} s, {built.cpu:.1f} s of CPU"
    )
    index = Index(store.layout)
    index.refresh()
    size = (root / "index.duckdb").stat().st_size / 1e6
    print(f"it takes {size:.0f} MB for {options.artifacts * METRICS} metric rows\n")
    numbers = itertools.count(len(list(store.keys())))

    def update() -> Took:
        publish_one(store, next(numbers))
        return took_by_call(index.refresh)

    def update_in_a_new_process() -> Took:
        publish_one(store, next(numbers))
        return took_by_process([sys.executable, "-c", REFRESH, str(root)], root)

    def settled(measure: Callable[[], Took]) -> Took:
        time.sleep(2.2)  # what was published just now is looked at again until then
        store.index().refresh()
        return measure()

    report = [
        sys.executable,
        "-m",
        "budgetctl",
        "report",
        "--store",
        str(root),
        "--format",
        "csv",
        "--sql",
        BEST,
    ]
    contenders = {
        "open an artifact with 50 files": lambda: took_by_call(lambda: store.artifact(key)),
        "index: nothing new": lambda: took_by_call(index.refresh),
        "index: 1 new artifact": update,
        "index: 1 new artifact, a whole process": update_in_a_new_process,
        "best score per cell": lambda: took_by_call(lambda: index.query(BEST)),
        "best score per cell, after a look for new records": lambda: settled(
            lambda: took_by_call(lambda: store.index().query(BEST))
        ),
        "the same by budgetctl report --sql, a whole process": lambda: settled(
            lambda: took_by_process(report, root)
        ),
        "best score per artifact": lambda: took_by_call(lambda: index.query(BEST_BY_STAGE)),
    }
    print(table(in_turn(contenders, options.rounds), "index: 1 new artifact"))


if __name__ == "__main__":
    main()
