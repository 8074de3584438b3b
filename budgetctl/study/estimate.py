"""What a plan should cost in time: from the store's own history, else from a stated cost model.

History comes first: the same kind of stage over the same base, fitted as seconds = start-up + rate × work. Only
where the store has none does the cost model below speak, and every estimate says which of the two it is.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from budgetctl.study.plan import Plan
from store import Store

Source = Literal["history", "model"]
HISTORY_STAGES = 2000
"""Newest artifacts that are looked at."""


@dataclass(frozen=True)
class CostModel:
    """Assumptions for stages nobody has timed yet. They are round guesses, not measurements.

    Work is counted in FLOPs: 2 per weight and token forward, 2 more to reach the adapters backward (a frozen base
    needs no gradients of its own), 2 again for the reference policy of preference methods.
    """

    trained_flops: float = 1e14
    """FLOPs per second of a GPU that trains."""
    generated_flops: float = 1e13
    """FLOPs per second of a GPU that generates in batches."""
    cpu_flops: float = 5e9
    """FLOPs per second for the embedded `tiny` model, which runs on CPU cores."""
    start_s: float = 60.0
    """Seconds to load a model onto a GPU."""
    light_s: float = 5.0
    """Seconds of a stage without a model."""
    tokens: int = 256
    """Tokens of a training row, and of a prompt."""
    eval_rows: int = 1000
    """Prompts of a split that is taken whole."""

    def sentence(self) -> str:
        """The assumptions, for whoever reads the estimate."""
        return (
            f"cost model (assumed, not measured): {self.tokens} tokens a row, {self.trained_flops / 1e12:g} TFLOP/s "
            f"training, {self.generated_flops / 1e12:g} TFLOP/s generating, {self.start_s:g} s to load a model"
        )


@dataclass(frozen=True)
class Estimate:
    """Seconds of one stage, and where the figure comes from."""

    seconds: float
    source: Source


@dataclass(frozen=True)
class PlanEstimate:
    """Estimates of a plan's stages."""

    stages: Mapping[str, Estimate]
    shared_s: float
    """Seconds that computing shared stages once saves over computing them for every cell."""
    model: CostModel

    def seconds(self, keys: Iterable[str]) -> float:
        """Sum over some stages."""
        return sum(self.stages[key].seconds for key in keys)

    def sources(self, keys: Iterable[str]) -> Counter[Source]:
        """How many of some stages were estimated from what."""
        return Counter(self.stages[key].source for key in keys)


@dataclass(frozen=True)
class _Described:
    stage: str
    identity: Mapping[str, Any]
    parents: Mapping[str, str]


def estimate_plan(
    plan: Plan, store: Store, model: CostModel | None = None, history: bool = True
) -> PlanEstimate:
    """Estimate every stage of a plan, those that are published already included.

    Args:
        plan: The study.
        store: Whose history is asked.
        model: What is assumed where history is silent.
        history: Whether to ask it; it is not worth reading for a plan with nothing to do.
    """
    model = model or CostModel()
    planned = {key: _Described(p.stage, p.identity, p.parents) for key, p in plan.stages.items()}
    past, seconds = _history(store) if history else ({}, {})
    known = {**past, **planned}
    points: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for key, spent in seconds.items():
        described = known[key]
        points[_kind(described, known)].append((_flops(described, known, model), spent))
    stages = {}
    for key, described in planned.items():
        work = _flops(described, known, model)
        seen = points.get(_kind(described, known))
        if seen:
            stages[key] = Estimate(_fitted(seen, work), "history")
        else:
            stages[key] = Estimate(_modelled(described, known, work, model), "model")
    uses = Counter(key for cell in plan.cells for key in cell.stages.values())
    shared = sum((count - 1) * stages[key].seconds for key, count in uses.items())
    return PlanEstimate(stages, shared, model)


def _history(store: Store) -> tuple[dict[str, _Described], dict[str, float]]:
    """The newest artifacts, and the seconds all attempts at each took together."""
    import json  # noqa: PLC0415

    if not next(iter(store.keys()), None):
        return {}, {}
    newest = f"SELECT key, stage, identity FROM artifacts ORDER BY published DESC LIMIT {HISTORY_STAGES}"
    with store.index().reading() as ask:
        rows = ask(newest).rows
        links = ask(f"SELECT key, role, parent FROM parents WHERE key IN (SELECT key FROM ({newest}))").rows
        spent = ask(
            "SELECT key, sum(epoch(ended) - epoch(started)) FROM attempts "
            "WHERE outcome IN ('published', 'interrupted') GROUP BY key"
        ).rows
    parents: dict[str, dict[str, str]] = defaultdict(dict)
    for key, role, parent in links:
        parents[key][role] = parent
    past = {key: _Described(stage, json.loads(identity), parents[key]) for key, stage, identity in rows}
    return past, {key: float(seconds) for key, seconds in spent if key in past}


def _kind(described: _Described, known: Mapping[str, _Described]) -> tuple[str, ...]:
    """Stages whose times can be compared by their work alone."""
    base = described if described.stage == "base" else known.get(described.parents.get("base", ""))
    if base is None:
        return (described.stage, str(described.identity.get("task")), str(described.identity.get("kind")))
    source = base.identity["source"]
    model = str(source.get("repository") or source.get("content") or source["kind"])
    return (described.stage, model, str(described.identity.get("engine", "")))


def _fitted(points: Sequence[tuple[float, float]], work: float) -> float:
    """Least squares for seconds = start + rate × work, neither below zero."""
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return median(y for _, y in points)
    rate = max(0.0, sum((x - mean_x) * (y - mean_y) for x, y in points) / spread)
    start = mean_y - rate * mean_x
    if start < 0:
        start, rate = 0.0, sum(x * y for x, y in points) / sum(x * x for x, _ in points)
    return start + rate * work


def _modelled(described: _Described, known: Mapping[str, _Described], work: float, model: CostModel) -> float:
    if described.stage in ("data", "eval") or (described.stage == "fork" and not work):
        return model.light_s
    if _is_tiny(described, known):
        return model.light_s + work / model.cpu_flops
    speed = model.generated_flops if described.stage == "gen" else model.trained_flops
    return model.start_s + work / speed


def _is_tiny(described: _Described, known: Mapping[str, _Described]) -> bool:
    base = described if described.stage == "base" else known.get(described.parents.get("base", ""))
    return base is not None and base.identity["source"]["kind"] == "tiny"


def _flops(described: _Described, known: Mapping[str, _Described], model: CostModel) -> float:
    """Floating point operations of a stage; 0 where only start-up counts."""
    weights = _weights(described, known)
    if described.stage == "base":
        config = described.identity["source"].get("config")
        return 6 * weights * config["steps"] * config["sequences"] * config["sequence"] if config else 0.0
    if described.stage == "fork":
        return _annealing(described, known, model)
    if described.stage in ("sft", "pft", "trunk"):
        settings = described.identity["settings"]
        rows = _rows(known.get(described.parents["data"]), model) * settings["epochs"]
        forward_and_back, forward = 4 * weights, 2 * weights
        if described.stage == "trunk":
            watching = _watching(described, known, model, rows)
            return float(rows * model.tokens * forward_and_back + watching * forward)
        if described.stage == "sft":
            return float(rows * model.tokens * forward_and_back)
        return float(rows * 2 * model.tokens * (forward_and_back + forward))
    if described.stage == "gen":
        rows = _rows(known.get(described.parents["prompts"]), model)
        decoding = described.identity["decoding"]
        tokens = model.tokens + decoding["max_new_tokens"] * decoding.get("samples", 1)
        return float(rows * tokens * 2 * weights)
    return float(_rows(described, model)) if described.stage == "data" else 0.0


def _watching(trunk: _Described, known: Mapping[str, _Described], model: CostModel, examples: float) -> float:
    """Tokens that a trunk's evaluations read, those that they generate weighted by how much slower that is."""
    watch = trunk.identity["watch"]
    dev = _rows(known.get(trunk.parents["dev"]), model) * (examples / watch["every"] + 1)
    asks = [trigger.get("k") or ("pass@" in str(trigger.get("metric"))) for trigger in watch["triggers"]]
    generates = any(asks) or any(monitor.startswith("pass@") for monitor in watch["monitors"])
    answers = watch["samples"] * (watch["max_new_tokens"] or model.tokens) if generates else 0
    slower = 1.0 if _is_tiny(trunk, known) else model.trained_flops / model.generated_flops
    return float(dev * (model.tokens + answers * slower))


def _annealing(fork: _Described, known: Mapping[str, _Described], model: CostModel) -> float:
    """What annealing costs at most: a share of the whole trunk's rows; nothing without it."""
    anneal, trunk = fork.identity["anneal"], known.get(fork.parents["trunk"])
    if anneal is None or trunk is None:
        return 0.0
    rows = _rows(known.get(trunk.parents["data"]), model) * trunk.identity["settings"]["epochs"]
    return float(anneal["share"] * rows * model.tokens * 4 * _weights(fork, known))


def _rows(data: _Described | None, model: CostModel) -> int:
    identity = {} if data is None else data.identity
    if identity.get("token_budget") is not None:
        return int(identity["token_budget"]) // model.tokens
    size = identity.get("size")
    return model.eval_rows if size is None else int(size)


def _weights(described: _Described, known: Mapping[str, _Described]) -> float:
    """Number of weights of the stage's base, as its name or shape tells; a billion where nothing does."""
    base = described if described.stage == "base" else known.get(described.parents.get("base", ""))
    if base is None:
        return 1e9
    source = base.identity["source"]
    if source["kind"] == "tiny":
        shape = source["config"]
        layer = 4 * shape["hidden"] ** 2 + 3 * shape["hidden"] * shape["feed_forward"]
        return float(shape["layers"] * layer + shape["vocabulary"] * shape["hidden"])
    found = re.search(r"(\d+(?:\.\d+)?)([BM])\b", source.get("repository", ""))
    return float(found[1]) * {"B": 1e9, "M": 1e6}[found[2]] if found else 1e9


def hours(seconds: float) -> str:
    """Seconds for people: `48 s`, `12 min`, `3.4 h`, `1,250 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"
