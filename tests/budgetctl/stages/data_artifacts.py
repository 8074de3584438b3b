"""Running data stages, and reading what they wrote."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from budgetctl.console import SilentReporter
from budgetctl.data.layouts import schema_of
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution


def run(stage, store, sources=None, keep=None):
    outcome = execute(stage, store, Execution(sources=sources or {}), SilentReporter(), keep=keep)
    return outcome.artifact


def rows(artifact, kind):
    table = pq.read_table(artifact.path(f"{kind}.parquet"))
    assert table.schema.remove_metadata() == schema_of(kind)
    return table.to_pylist()


def card(artifact):
    return json.loads(artifact.path("card.json").read_text())
