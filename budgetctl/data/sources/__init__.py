"""Where rows come from. A source is a frozen description that reads or makes batches of rows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from budgetctl.data.sources.arith import ArithSource
from budgetctl.data.sources.files import LocalFiles
from budgetctl.data.sources.gsm8k import Gsm8kFiles
from budgetctl.data.sources.hub import HubDataset

AnySource = Annotated[ArithSource | Gsm8kFiles | LocalFiles | HubDataset, Field(discriminator="source")]

__all__ = ["AnySource", "ArithSource", "Gsm8kFiles", "HubDataset", "LocalFiles"]
