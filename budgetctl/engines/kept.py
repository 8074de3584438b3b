"""The engine that a worker keeps between stages, so that a sweep loads each base once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

SLOT = "engine:"


class _Closable(Protocol):
    def close(self) -> None: ...


EngineT = TypeVar("EngineT", bound=_Closable)


def kept_engine(
    keep: dict[str, object], kind: type[EngineT], name: str, start: Callable[[], EngineT]
) -> EngineT:
    """Return the kept engine of this name, or close any other one, start it and keep it.

    Args:
        keep: What the worker holds between stages.
        kind: The engine's class.
        name: Everything that makes two engines different: model, precision, device, batch.
        start: Makes one.
    """
    held = keep.get(SLOT + name)
    if isinstance(held, kind):
        return held
    close_engines(keep)
    engine = start()
    lend_engine(keep, name, engine)
    return engine


def held_engine(keep: dict[str, object], kind: type[EngineT]) -> tuple[str, EngineT] | None:
    """Return the kept engine with its name, if there is one of this kind."""
    for slot, held in keep.items():
        if slot.startswith(SLOT) and isinstance(held, kind):
            return slot.removeprefix(SLOT), held
    return None


def lend_engine(keep: dict[str, object], name: str, engine: _Closable) -> None:
    """Have an engine found under this name, as if it had been started there."""
    keep[SLOT + name] = engine


def take_back_engine(keep: dict[str, object], name: str) -> None:
    """Undo `lend_engine`; the engine goes on."""
    keep.pop(SLOT + name, None)


def close_engines(keep: dict[str, object]) -> None:
    """Close every kept engine and free its memory; a worker does so at its end."""
    for slot in [slot for slot in keep if slot.startswith(SLOT)]:
        engine = keep.pop(slot)
        close = getattr(engine, "close", None)
        if callable(close):
            close()
