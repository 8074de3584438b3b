"""Every identity field of every stage changes the key, and nothing else does. The schema itself is walked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from budgetctl.forking.triggers import (
    ExamplesTrigger,
    PassTrigger,
    PerplexityTrigger,
    PlateauTrigger,
    Trigger,
    WatchSettings,
)
from budgetctl.models.templates import Template
from budgetctl.stages.base import BaseIdentity, BaseStage
from budgetctl.stages.catalog import STAGES, stage_from
from budgetctl.stages.data import DataIdentity, DataStage
from budgetctl.stages.eval import EvalIdentity, EvalStage
from budgetctl.stages.fork import Anneal, ForkIdentity, ForkStage
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.pairs import PairsIdentity, PairsStage
from budgetctl.stages.perplexity import PerplexityIdentity, PerplexityStage
from budgetctl.stages.pft import PftIdentity, PftStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Execution, Stage, payload_of
from budgetctl.stages.trunk import TrunkIdentity, TrunkStage
from store import Payload

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
TINY = Template(name="tiny", text="{{ messages }}")
ARITH = {"source": "arith"}
DEMONSTRATIONS = {"task": "arith", "kind": "sft", "split": "train", "size": 8, "source": ARITH}
TRIGGERS: tuple[Trigger, ...] = (
    PerplexityTrigger(at_most=3.5),
    PassTrigger(k=4, at_least=0.3),
    PlateauTrigger(metric="pass@1", min_gain=0.01),
    ExamplesTrigger(at=128),
)

EXAMPLES: Mapping[str, list[Stage]] = {
    "base": [
        BaseStage(BaseIdentity.model_validate({"source": {"kind": "tiny"}})),
        BaseStage(BaseIdentity.model_validate({"source": {"kind": "folder", "content": A}})),
        BaseStage(
            BaseIdentity.model_validate({"source": {"kind": "hub", "repository": "a/b", "commit": "a" * 40}})
        ),
    ],
    "data": [
        DataStage(DataIdentity.model_validate(DEMONSTRATIONS)),
        DataStage(
            DataIdentity.model_validate(
                DEMONSTRATIONS | {"kind": "pref", "end": "back", "apart_from": {"source": ARITH, "size": 4}}
            )
        ),
    ],
    "pairs": [PairsStage(PairsIdentity(task="arith", scorer_version=1, kind="pref", size=8), A, B)],
    "sft": [SftStage(SftIdentity(template=TINY), A, B)],
    "trunk": [
        TrunkStage(
            TrunkIdentity(
                template=TINY,
                task="arith",
                scorer_version=1,
                watch=WatchSettings(every=64, triggers=TRIGGERS),
            ),
            A,
            B,
            C,
        )
    ],
    "fork": [
        *(ForkStage(ForkIdentity(trigger=trigger), A) for trigger in TRIGGERS),
        ForkStage(ForkIdentity(trigger=TRIGGERS[0], anneal=Anneal(share=0.1)), A, B, C),
    ],
    "pft": [PftStage(PftIdentity(template=TINY), A, B), PftStage(PftIdentity(template=TINY), A, B, C)],
    "gen": [GenStage(GenIdentity(template=TINY), A, B), GenStage(GenIdentity(template=TINY), A, B, C)],
    "eval": [EvalStage(EvalIdentity(task="arith", scorer_version=1), A, B)],
    "perplexity": [
        PerplexityStage(PerplexityIdentity(template=TINY), A, B),
        PerplexityStage(PerplexityIdentity(template=TINY, answers="generated"), A, B, C, "d" * 64),
    ],
}


def leaves(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """(path, annotation, value) of every field that is not itself a model."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), field.annotation, value


def other(annotation: Any, value: Any) -> Any:
    """A different value that the annotation may hold; the walk fails on kinds it does not know."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(choice for choice in get_args(annotation) if choice is not type(None))
    if get_origin(annotation) is Literal:
        return next((choice for choice in get_args(annotation) if choice != value), f"{value}-changed")
    if isinstance(value, bool) or annotation is bool:
        return not value
    if isinstance(value, int | float):
        return value + 1 if value == 0 or isinstance(value, int) else value / 2
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, tuple):
        return (*value, "one_more")
    if value is None:
        return "something"
    raise AssertionError(f"the walk does not know how to change {value!r} of type {annotation}")


def changed(document: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, *rest = path
    inner = changed(document[head], tuple(rest), value) if rest else value
    if isinstance(inner, tuple):
        inner = [one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in inner]
    return {**document, head: inner}


def test_every_stage_has_an_example() -> None:
    assert set(EXAMPLES) == set(STAGES)


@pytest.mark.parametrize("stage", [s for group in EXAMPLES.values() for s in group], ids=lambda s: s.name)
def test_every_identity_field_is_in_the_key(stage: Stage) -> None:
    payload = payload_of(stage)
    seen = {payload.key}
    walked = list(leaves(stage.identity))
    assert walked
    for path, annotation, value in walked:
        identity = changed(dict(payload.identity), path, other(annotation, value))
        key = Payload(payload.stage, payload.revision, identity, payload.parents).key
        assert key not in seen, f"{'.'.join(path)} of {stage.name} does not change the key"
        seen.add(key)


@pytest.mark.parametrize("stage", [s for group in EXAMPLES.values() for s in group], ids=lambda s: s.name)
def test_every_parent_role_and_revision_is_in_the_key(stage: Stage) -> None:
    payload = payload_of(stage)
    for role in payload.parents:
        moved = Payload(
            payload.stage, payload.revision, payload.identity, {**payload.parents, role: "e" * 64}
        )
        assert moved.key != payload.key
    assert Payload(payload.stage, payload.revision + 1, payload.identity, payload.parents).key != payload.key


@pytest.mark.parametrize("stage", [s for group in EXAMPLES.values() for s in group], ids=lambda s: s.name)
def test_a_stage_survives_the_way_through_a_stored_plan(stage: Stage) -> None:
    payload = payload_of(stage)
    back = stage_from(Payload.from_json(payload.canonical_json()))
    assert back == stage
    assert payload_of(back).key == payload.key


def test_execution_shares_no_field_with_any_identity() -> None:
    identity_fields = {
        path[-1] for group in EXAMPLES.values() for s in group for path, _, _ in leaves(s.identity)
    }
    assert identity_fields.isdisjoint(Execution.model_fields)


SCRIPT = """
from pathlib import Path
import sys
from budgetctl.study.build import plan_study
from budgetctl.study.recipe import load_recipe
from store import Store
print(*plan_study(load_recipe(Path(sys.argv[1])), Store.open(sys.argv[2], create=True)).stages)
"""


def test_keys_do_not_depend_on_where_and_how_the_program_runs(tmp_path: Path) -> None:
    rows = '{"question": "1 + %d?", "answer": "2 + 5 = <<2+5=7>>7 or %d\\n#### 7"}\n'
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.jsonl").write_text("".join(rows % (i, i + 1) for i in range(40)))
        (tmp_path / folder / "test.jsonl").write_text(rows % (99, 100))
        (tmp_path / folder / "recipe.yaml").write_text(
            "{name: a, base: tiny, task: gsm8k, method: [dpo, kto], budgets: [8], seeds: [0, 1], data: {path: .}}"
        )

    def keys(folder: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-c", SCRIPT, str(tmp_path / folder / "recipe.yaml"), str(tmp_path / f"s-{folder}")],
            cwd=tmp_path / folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = keys("here", PYTHONHASHSEED="1", LC_ALL="C")
    assert len(first.split()) > 20
    assert (
        keys("there", PYTHONHASHSEED="2", LC_ALL="C.UTF-8", TZ="Asia/Tokyo", BUDGETCTL_DEVICE="cuda:3")
        == first
    )
    (tmp_path / "there" / "train.jsonl").write_text("".join(rows % (i, i + 1) for i in range(41)))
    second = keys("there")
    assert set(first.split()) & set(second.split()) == {
        first.split()[0]
    }  # only the base does not read the file
