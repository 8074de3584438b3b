"""The base of every specification: frozen, unknown keys are errors, and problems are told in sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel, ConfigDict, ValidationError


class Frozen(BaseModel):
    """An immutable, validated description.

    `Identity` models hold what a result depends on and enter its key; `Execution` models hold how it is
    run and never do. They are separate types, so that no list of exceptions decides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


def describe_problems(error: ValidationError, model: type[BaseModel], source: str) -> str:
    """Turn a validation error of any settings model into sentences."""
    return "\n".join(_sentences(error, model, source))


def _sentences(error: ValidationError, model: type[BaseModel], source: str) -> Iterator[str]:
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            valid = _valid_names(model, problem["loc"][:-1])
            close = difflib.get_close_matches(str(problem["loc"][-1]), valid, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"valid are {', '.join(valid)}."
            yield f"{source}: unknown key `{where}`; {hint}"
        elif problem["type"] == "missing":
            yield f"{source}: `{where}` is missing"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = "" if not where else f" (given: {problem['input']!r})"
            yield f"{source}: {where + ': ' if where else ''}{message}{given}"


def _valid_names(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names that are valid at `location` inside `model`."""
    current: type[BaseModel] = model
    for part in location:
        field = next((f for n, f in current.model_fields.items() if part in (n, f.alias)), None)
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        nested = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if nested is None:
            break
        current = nested
    return sorted(field.alias or name for name, field in current.model_fields.items())
