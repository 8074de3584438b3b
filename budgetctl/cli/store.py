"""`budgetctl store …`: look after the artifacts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from budgetctl.cli.common import JsonOption, StoreOption, open_store

if TYPE_CHECKING:
    from store import Artifact, Store

Keys = Annotated[
    list[str] | None, typer.Argument(help="Keys or unique prefixes; none means all.", show_default=False)
]


def resolve_all(store: Store, keys: list[str] | None) -> list[str]:
    """Complete the given prefixes; without any, every published key."""
    return [store.resolve(key) for key in keys] if keys else list(store.keys())


def human_size(n_bytes: float) -> str:
    """A size in binary units with three digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} TiB"


def _row(artifact: Artifact) -> dict[str, Any]:
    return {
        "key": artifact.key,
        "stage": artifact.stage,
        "bytes": artifact.size,
        "files": len(artifact.files),
        "metrics": dict(artifact.metrics),
    }


def list_artifacts(
    store: StoreOption = None,
    stage: Annotated[str, typer.Option(help="Only this stage.")] = "",
    json_: JsonOption = False,
) -> None:
    """List what is published: key, stage, size, and the figures in its manifest.

    Example: budgetctl store ls --stage sft
    """
    for artifact in open_store(store, create=False).artifacts(stage):
        if json_:
            print(json.dumps(_row(artifact)))
            continue
        figures = "  ".join(f"{n} {v:.4g}" for n, v in artifact.metrics.items() if isinstance(v, float))
        print(f"{artifact.key[:12]}  {artifact.stage:<5}  {human_size(artifact.size):>9}  {figures}".rstrip())


def show(
    key: Annotated[str, typer.Argument(help="A key or a unique prefix.")], store: StoreOption = None
) -> None:
    """Print everything known about one artifact as JSON: identity, parents, files, metrics, provenance, attempts.

    Example: budgetctl store show 3f9a
    """
    opened = open_store(store, create=False)
    artifact = opened.artifact(opened.resolve(key))
    attempts = [
        {
            "started": a.started,
            "ended": a.ended,
            "outcome": a.outcome,
            "reason": a.reason,
            "host": a.holder.host,
        }
        for a in opened.attempts(artifact.key)
    ]
    print(
        json.dumps(
            {
                **_row(artifact),
                "identity": artifact.identity,
                "parents": artifact.parents,
                "files": {
                    name: {"bytes": entry.size, "blake3": entry.hash}
                    for name, entry in artifact.files.items()
                },
                "provenance": artifact.provenance,
                "attempts": attempts,
                "path": str(artifact.path()),
            },
            indent=1,
        )
    )


def leases(store: StoreOption = None) -> None:
    """Say who works on what.

    Example: budgetctl store leases
    """
    for record in open_store(store, create=False).leases():
        dead = record.holder is not None and record.holder.is_dead()
        print(f"{record.name[:12]}  {record.describe()}{'  (dead)' if dead else ''}")


def verify(
    keys: Keys = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte, not only sizes.")] = False,
    store: StoreOption = None,
) -> None:
    """Check manifests and sizes, with --deep every byte; changes nothing. Exit code 5 if something is damaged.

    Example: budgetctl store verify --deep
    """
    from store.check import verify as check  # noqa: PLC0415

    opened = open_store(store, create=False)
    found = check(opened.layout, resolve_all(opened, keys), deep)
    for finding in found.findings:
        print(f"{finding.key[:12]}  {finding.name or 'manifest'}: {finding.problem}")
    print(
        f"{found.artifacts} artifacts, {found.files} files, {human_size(found.bytes)} checked; "
        f"{len(found.findings)} problems"
        + ("" if not found.findings else "; `budgetctl store repair` mends them"),
        file=sys.stderr,
    )
    if found.findings:
        raise typer.Exit(5)


def repair(
    keys: Keys = None,
    remote: Annotated[
        list[str] | None,
        typer.Option("--from", help="Remotes that may have good copies.", show_default=False),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Restore damaged files from good copies; what cannot be restored is set aside and computed again.

    Example: budgetctl store repair --from s3://bucket/store
    """
    from store.check import repair as mend  # noqa: PLC0415
    from store.remote import Remote  # noqa: PLC0415
    from store.transfer import fetcher  # noqa: PLC0415

    opened = open_store(store, create=False)
    fetch = fetcher([Remote(address) for address in remote]) if remote else None
    for done in mend(opened.layout, resolve_all(opened, keys), fetch=fetch):
        print(
            f"{done.key[:12]}  {f'restored from {done.restored}' if done.restored else 'set aside; run it again'}"
        )


def diff(
    left: Annotated[str, typer.Argument(help="A key or a unique prefix.")],
    right: Annotated[str, typer.Argument(help="Another one.")],
    store: StoreOption = None,
) -> None:
    """Name the identity fields in which two artifacts, or their ancestors, differ.

    Example: budgetctl store diff 3f9a 77c0
    """
    from store.explain import Explainer  # noqa: PLC0415

    opened = open_store(store, create=False)
    for difference in Explainer(opened).diff(opened.resolve(left), opened.resolve(right)):
        print(f"{difference.place}: {difference.left!r} | {difference.right!r}")


def reindex(store: StoreOption = None) -> None:
    """Delete the DuckDB view and rebuild it from the records.

    Example: budgetctl store reindex
    """
    count = open_store(store, create=False).index().rebuild()
    print(f"{count} records read", file=sys.stderr)
