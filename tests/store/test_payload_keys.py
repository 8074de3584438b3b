"""Keys: canonical, pinned for ever by a golden file, and refused where they could drift."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import Payload
from store.canonical import encode, write
from store.errors import UnencodableValue, UsageError

GOLDEN = Path(__file__).parent / "golden_keys.json"

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


def golden_rows() -> list[dict[str, Any]]:
    return list(json.loads(GOLDEN.read_text("utf-8"))["keys"])


@pytest.mark.parametrize("row", golden_rows(), ids=lambda row: row["what"])
def test_keys_never_change(row: dict[str, Any]) -> None:
    payload = Payload.from_document(row["payload"])
    assert payload.canonical_json().decode() == row["canonical"]
    assert payload.key == row["key"]


def test_golden_file_sets_every_field_of_a_payload_away_from_its_default() -> None:
    full = Payload.from_document(golden_rows()[-1]["payload"])
    plain = Payload("sft", 0)
    for name in plain.document():
        if name != "schema":  # its only value so far
            assert full.document()[name] != plain.document()[name], (
                f"the last golden row leaves {name} at its default"
            )
    for name in plain.document():
        changed = {**full.document(), name: {"stage": "eval", "revision": 9, "schema": 9}.get(name, {})}
        assert Payload.from_document(changed).key != full.key, f"{name} does not enter the key"


@given(JSON_VALUES | st.just([0.0, -0.0, {"a": -0.0}, (1, 1.0, True)]))
def test_the_quick_encoder_writes_what_the_careful_one_does(value: Any) -> None:
    assert encode(value).decode() == write(value, "value")


@given(JSON_VALUES)
def test_encoding_is_json_and_survives_a_round_trip(value: Any) -> None:
    decoded = json.loads(encode(value))
    assert decoded == value
    assert encode(decoded) == encode(value)


@given(st.dictionaries(TEXT, st.integers()), st.randoms())
def test_order_of_fields_does_not_count(fields: dict[str, int], random: Any) -> None:
    names = list(fields)
    random.shuffle(names)
    assert encode({name: fields[name] for name in names}) == encode(fields)


def test_numbers_that_mean_different_things_stay_apart() -> None:
    assert encode(1) != encode(1.0) != encode(True)
    assert encode(-0.0) == encode(0.0)
    assert encode(10**40) == b"1" + b"0" * 40


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"a": [1, {"b": float("nan")}]}, r"x\.identity\.a\[1\]\.b is nan"),
        ({"a": float("inf")}, r"x\.identity\.a is inf"),
        ({"tags": {"p", "q"}}, r"x\.identity\.tags is a set.*sorted list"),
        ({"fn": len}, r"x\.identity\.fn is a builtin_function_or_method"),
        ({"fn": lambda: 0}, r"x\.identity\.fn is a function.*revision"),
        ({"path": Path("/data")}, r"x\.identity\.path is a PosixPath.*content's hash"),
        ({"raw": b"x"}, r"x\.identity\.raw is a bytes"),
        ({"o": object()}, r"x\.identity\.o is a object"),
        ({1: 2}, r"has the key 1 of type int"),
        ({"t": "\ud800"}, "lone surrogate"),
    ],
)
def test_values_without_a_canonical_form_are_refused_by_name(value: Any, named: str) -> None:
    with pytest.raises(UnencodableValue, match=named):
        _ = Payload("x", 1, value).key


def test_a_list_inside_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnencodableValue, match="nested deeper"):
        encode(endless)


@pytest.mark.parametrize("fields", [("SFT", 1), ("sft", -1), ("sft", True), ("", 1), ("a/b", 1)])
def test_malformed_payloads_are_refused(fields: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError):
        Payload(*fields)


def test_parents_enter_by_key_only() -> None:
    with pytest.raises(UsageError, match="64-digit key"):
        Payload("sft", 1, {}, {"base": "/models/base"})


@pytest.mark.parametrize(
    "environment", [{"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "LC_ALL": "C"}, {"TZ": "Asia/Tokyo"}]
)
def test_keys_do_not_depend_on_the_environment(environment: dict[str, str], tmp_path: Path) -> None:
    row = golden_rows()[-1]
    code = "import sys, json; from store import Payload; print(Payload.from_document(json.loads(sys.argv[1])).key)"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(row["payload"])],
        cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == row["key"]
