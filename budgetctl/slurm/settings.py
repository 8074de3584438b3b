"""What a recipe or the command line may say about a batch job; every value is checked before it is rendered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from budgetctl.schema import Frozen
from budgetctl.slurm.setup import shell_line

OTHER_OPTIONS = (
    "comment", "cpus-per-gpu", "deadline", "exclude", "exclusive", "gres", "hint", "licenses", "mail-type",
    "mail-user", "mem-per-cpu", "mem-per-gpu", "nice", "nodelist", "priority", "reservation", "tmp", "wckey",
)  # fmt: skip
"""Further `sbatch` options that a recipe may set. The script itself sets array, output, signal and requeue."""

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+@-]*"
_LIST = rf"{_NAME}(,{_NAME})*"


def matching(pattern: str, meaning: str) -> AfterValidator:
    """A check that a text, if there is one, is wholly of a form."""

    def check(value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            raise ValueError(f"must be {meaning}")
        return value

    return AfterValidator(check)


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quoted_time(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError('put the time in quotes, such as "1:30:00": YAML reads 1:30:00 as the number 5400')
    return value


def _safe_option(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.,:@=+/\[\]-]*", value):
        raise ValueError("may hold letters, digits and _ . , : @ = + / [ ] - only")
    return value


def _commands(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _shell(lines: tuple[str, ...]) -> tuple[str, ...]:
    for line in lines:
        shell_line(line)
    return lines


Names = Annotated[str | None, BeforeValidator(_text), matching(_LIST, "a name, or names with commas between")]
Name = Annotated[
    str | None, BeforeValidator(_text), matching(_NAME, "a name of letters, digits and _ . + @ -")
]


def _known_options(options: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in options.items():
        if name not in OTHER_OPTIONS:
            raise ValueError(f"option {name!r} cannot be set here; these can: {', '.join(OTHER_OPTIONS)}")
        _safe_option(value)
    return options


def _variables(values: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in values.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} is not the name of an environment variable")
        if "\0" in value or "\n" in value or "\r" in value:
            raise ValueError(f"the value of {name} must be one line")
    return values


class SlurmSettings(Frozen):
    """The `slurm:` section of a recipe; see `budgetctl plan --emit slurm` and docs/guide/slurm.md."""

    partition: Names = None
    account: Name = None
    qos: Name = None
    time: Annotated[
        str | None,
        BeforeValidator(_quoted_time),
        matching(
            r"\d+|\d+:\d{1,2}(:\d{1,2})?|\d+-\d{1,2}(:\d{1,2}){0,2}",
            "a time limit of Slurm: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS",
        ),
    ] = None
    """Time limit of one worker's job. A worker that reaches it is requeued and continues."""
    gpus: Annotated[
        str | None,
        BeforeValidator(_text),
        matching(r"([A-Za-z][A-Za-z0-9_.-]*:)?[1-9]\d{0,3}", "a number of GPUs, or TYPE:NUMBER"),
    ] = None
    """GPUs of one worker."""
    cpus: int | None = Field(default=None, gt=0)
    """CPU cores of one worker."""
    mem: Annotated[str | None, BeforeValidator(_text), matching(r"[1-9]\d*[KMGT]?", "a size such as 64G")] = (
        None
    )
    constraint: Annotated[
        str | None,
        matching(r"[A-Za-z0-9_(\[][A-Za-z0-9_.&|()\[\]*,:+-]*", "features such as a100|h100"),
    ] = None
    options: Annotated[
        Mapping[str, Annotated[str, BeforeValidator(_text)]], AfterValidator(_known_options)
    ] = {}
    """Other options of `sbatch` by their long names, such as `nice: 100`; an empty value renders a flag."""
    workers: int = Field(default=1, gt=0, le=100_000)
    """Number of identical workers (array tasks)."""
    at_once: int | None = Field(default=None, gt=0)
    """How many of them may run at the same time."""
    warn_s: int = Field(default=120, ge=10, le=65_535)
    """Seconds before the time limit at which a worker is told to save and stop; at most a quarter of the limit."""
    max_timeouts: int = Field(default=20, ge=0)
    """How often one worker may be requeued because of its time limit. Preemptions do not count."""
    setup: Annotated[tuple[str, ...], BeforeValidator(_commands), AfterValidator(_shell)] = ()
    """Commands that prepare the environment (`module load …`, `source …`, `conda activate …`, `export A=b`)."""
    python: Annotated[
        str | None,
        matching(r"[A-Za-z0-9_./+@-]+", "the path or name of a Python interpreter, without blanks"),
    ] = None
    """Interpreter on the nodes, once `setup` is done; without it the one that made the plan."""
    environment: Annotated[
        Mapping[str, Annotated[str, BeforeValidator(_text)]], AfterValidator(_variables)
    ] = {}
    """Environment variables of the worker, taken literally."""
    logs: Path | None = None
    """Folder of the logs on a shared file system; without it `logs/` in the store."""

    @property
    def warned_s(self) -> int:
        """Seconds of warning that leave a short job time to work: a warning as long as the job would come at once."""
        limit = seconds_of_limit(self.time) if self.time is not None else None
        return self.warn_s if limit is None else max(1, min(self.warn_s, limit // 4))


def seconds_of_limit(text: str) -> int:
    """Read a time limit as Slurm does.

    Args:
        text: Minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS.
    """
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(parts) == 3:
        return (parts[0] * 60 + parts[1]) * 60 + parts[2]
    return parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)


def parse_array(text: str) -> dict[str, Any]:
    """Read `--array N` or `--array N%P`: N workers, P of them at once.

    Raises:
        ValueError: It is neither.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})(?:%([1-9]\d{0,5}))?", text)
    if found is None:
        raise ValueError(
            f"--array takes a number of workers, and optionally how many at once (64%16), not {text!r}"
        )
    return {"workers": int(found[1]), **({"at_once": int(found[2])} if found[2] else {})}
