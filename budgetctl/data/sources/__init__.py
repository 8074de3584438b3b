"""Where rows come from. A source is a frozen description; its `rows` reads or makes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from budgetctl.data.sources.arith import ArithSource
from budgetctl.data.sources.gsm8k import Gsm8kFiles

AnySource = Annotated[ArithSource | Gsm8kFiles, Field(discriminator="source")]

__all__ = ["AnySource", "ArithSource", "Gsm8kFiles"]
