"""What a result came from: the stages behind it, as data and as a tree of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from budgetctl.analysis import escape
from store import Store
from store.errors import MissingArtifact

Metric = float | int | str | bool | None

_SHOWN_METRICS = 6
_KEY_LENGTH = 12


@dataclass(frozen=True, slots=True)
class LineageNode:
    """One stage behind a result.

    Attributes:
        key: its full key.
        stage: its kind, e.g. `sft`; `not published` for a parent that is not in the store.
        parents: role → key.
        metrics: a few numbers worth showing.
    """

    key: str
    stage: str
    parents: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)


def lineage_of(store: Store, keys: Iterable[str]) -> list[LineageNode]:
    """The stages behind some results, each once, the results first.

    Args:
        store: where the artifacts are.
        keys: full keys of the results.
    """
    queue = list(dict.fromkeys(keys))
    found: dict[str, LineageNode] = {}
    for key in queue:  # grows while it is walked
        if key in found:
            continue
        try:
            artifact = store.artifact(key)
        except MissingArtifact:
            found[key] = LineageNode(key, "not published")
            continue
        metrics = dict(list(artifact.metrics.items())[:_SHOWN_METRICS])
        found[key] = LineageNode(key, artifact.stage, dict(artifact.parents), metrics)
        queue.extend(artifact.parents.values())
    return list(found.values())


def lineage_text(nodes: Sequence[LineageNode], root: str) -> str:
    """A tree with stages, short keys and metrics; a stage met again is not unfolded twice.

    Args:
        nodes: from `lineage_of`.
        root: full key of the result to begin with.
    """
    known = {node.key: node for node in nodes}
    lines: list[str] = []
    unfolded: set[str] = set()

    def walk(key: str, role: str, lead: str, below: str) -> None:
        node = known.get(key, LineageNode(key, "not published"))
        metrics = ", ".join(f"{name} {_short(value)}" for name, value in node.metrics.items())
        name = f"{role}: {node.stage}" if role else node.stage
        line = f"{lead}{name} {key[:_KEY_LENGTH]}"
        if key in unfolded and node.parents:
            lines.append(escape.plain(f"{line}  (as above)"))
            return
        unfolded.add(key)
        lines.append(escape.plain(f"{line}  {metrics}".rstrip()))
        parents = list(node.parents.items())
        for index, (parent_role, parent) in enumerate(parents):
            last = index == len(parents) - 1
            walk(parent, parent_role, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))

    walk(root, "", "", "")
    return "\n".join(lines) + "\n"


def _short(value: Metric) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
