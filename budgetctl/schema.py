"""The base of every specification: frozen, and unknown keys are errors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable, validated description.

    `Identity` models hold what a result depends on and enter its key; `Execution` models hold how it is
    run and never do. They are separate types, so that no list of exceptions decides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
