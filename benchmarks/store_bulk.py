"""A store of many small artifacts, made quickly: the same files as publishing makes, without a sync for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from store import Payload, Store
from store.manifest import Manifest

METRICS = 10


def sweep_payloads(count: int) -> Iterator[Payload]:
    """`count` distinct stages shaped like a study: data, then sft, pft, gen and eval of 14 cells a budget."""
    made = 0
    budget = 0
    while made < count:
        data = Payload("data", 1, {"task": "arith", "budget": budget, "seed": 0, "kind": "sft"})
        stages = [data]
        for share in range(7):
            sft = Payload(
                "sft", 1, {"share": share, "lr": 1e-4, "epochs": 2, "batch": 16}, {"data": data.key}
            )
            stages.append(sft)
            for seed in range(2):
                pft = Payload("pft", 1, {"beta": 0.1, "seed": seed}, {"policy": sft.key, "data": data.key})
                gen = Payload("gen", 1, {"split": "test", "temperature": 0.0}, {"policy": pft.key})
                stages += [pft, gen, Payload("eval", 1, {"scorer": "arith/1"}, {"gen": gen.key})]
        yield from stages[: count - made]
        made += len(stages)
        budget += 1


def bulk_store(root: Path, count: int) -> Store:
    """A store with `count` published artifacts of that shape, each with `METRICS` metrics and no files."""
    store = Store.open(root, create=True)
    for number, payload in enumerate(sweep_payloads(count)):
        metrics = {f"metric/{index}": (number * 7919 % 1000) / 1000 + index for index in range(METRICS)}
        home = store.layout.artifact(payload.key)
        (home / "files").mkdir(parents=True)
        manifest = Manifest(
            payload, {}, metrics, {"git": {"commit": "0" * 40, "dirty": False}, "host": "node"}
        )
        (home / "manifest.json").write_bytes(manifest.to_bytes())
    return store
