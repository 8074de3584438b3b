"""What a watched run leaves behind: its evaluations, `monitor.parquet` and `forks.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from budgetctl.errors import BudgetctlError
from budgetctl.forking.decide import Measurement, Outcome, Point

MONITOR_FILE = "monitor.parquet"
FORKS_FILE = "forks.json"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation during training, whole: enough for a `Decider` to see it again."""

    point: Point
    measurements: tuple[Measurement, ...]

    def as_json(self) -> str:
        """One line of JSON; numbers read back exactly."""
        document = {
            "point": asdict(self.point),
            "measurements": [_measurement_document(one) for one in self.measurements],
        }
        return json.dumps(document, allow_nan=False)

    @staticmethod
    def from_json(line: str) -> Evaluation:
        """Read what `as_json` wrote.

        Raises:
            BudgetctlError: It is something else, such as half a line.
        """
        try:
            document = json.loads(line)
            found = tuple(_measurement(one) for one in document["measurements"])
            return Evaluation(Point(**document["point"]), found)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise BudgetctlError(f"a stored evaluation cannot be read ({error}): {line[:80]!r}") from error


@dataclass(frozen=True)
class MonitorRow:
    """One metric at one evaluation; see `Point` and `Measurement` for the fields."""

    step: int
    examples: int
    distinct: int
    epoch: float
    learning_rate: float
    metric: str
    value: float
    low: float
    high: float
    se: float
    n: int
    k: int | None
    samples: int | None
    strict: bool | None


@dataclass(frozen=True)
class ForkRecord:
    """What became of one trigger of a run.

    Attributes:
        trigger: Its name.
        fired: Whether it did. If not, the values are the best ones seen and where that was.
        same_as: The trigger under which the same state is saved; empty for that trigger itself.
        step: Optimizer steps done; this and the other values are None where nothing was measured.
        folder: Where the state lies inside the artifact; None for a trigger that did not fire.
    """

    trigger: str
    fired: bool
    same_as: str
    step: int | None
    examples: int | None
    distinct: int | None
    epoch: float | None
    learning_rate: float | None
    metric: str | None
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    k: int | None
    samples: int | None
    strict: bool | None
    folder: str | None


def state_folder(step: int) -> str:
    """Where a run keeps the state of a step, relative to its artifact."""
    return f"at/{step}"


def monitor_rows(evaluations: Iterable[Evaluation]) -> Iterator[MonitorRow]:
    """One row per evaluation and metric."""
    for evaluation in evaluations:
        for one in evaluation.measurements:
            values = {name: getattr(one, name) for name in _MEASURED}
            yield MonitorRow(**asdict(evaluation.point), **values)


def fork_records(outcomes: Iterable[Outcome]) -> list[ForkRecord]:
    """Every trigger, fired or not, in the watch's order."""
    return [_fork_record(outcome) for outcome in outcomes]


def write_monitor(path: Path, rows: Iterable[MonitorRow]) -> None:
    """Write `monitor.parquet`; without rows it has its columns all the same."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    whole, share = pa.int64(), pa.float64()
    types = {"step": whole, "examples": whole, "distinct": whole, "n": whole, "k": whole, "samples": whole}
    types |= {"metric": pa.string(), "strict": pa.bool_()}
    schema = pa.schema([(one.name, types.get(one.name, share)) for one in fields(MonitorRow)])
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    pq.write_table(table, path)


def read_monitor(path: Path) -> list[MonitorRow]:
    """Read `monitor.parquet`."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    return [MonitorRow(**row) for row in pq.read_table(path).to_pylist()]


def write_forks(path: Path, records: Sequence[ForkRecord]) -> None:
    """Write `forks.json`."""
    document = {"forks": [asdict(record) for record in records]}
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_forks(path: Path) -> list[ForkRecord]:
    """Read `forks.json`.

    Raises:
        BudgetctlError: The file is something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [ForkRecord(**record) for record in document["forks"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BudgetctlError(f"{path.name} is no record of forks ({error}); run its stage again") from error


_MEASURED = ("metric", "value", "low", "high", "se", "n", "k", "samples", "strict")


def _measurement_document(one: Measurement) -> dict[str, Any]:
    items = [list(item) if isinstance(item, tuple | list) else item for item in one.items]
    return {name: getattr(one, name) for name in _MEASURED} | {"items": items}


def _measurement(document: Mapping[str, Any]) -> Measurement:
    items = tuple(tuple(item) if isinstance(item, list) else item for item in document["items"])
    return Measurement(**{**document, "items": items})


def _fork_record(outcome: Outcome) -> ForkRecord:
    fired = outcome.fired
    point, found = (fired.point, fired.measurement) if fired else (outcome.best_at, outcome.best)
    at = asdict(point) if point else dict.fromkeys(one.name for one in fields(Point))
    values = {name: getattr(found, name) if found else None for name in _MEASURED if name != "se"}
    return ForkRecord(
        trigger=outcome.trigger.name,
        fired=fired is not None,
        same_as=fired.same_as if fired else "",
        folder=state_folder(fired.point.step) if fired else None,
        **at,
        **values,
    )
