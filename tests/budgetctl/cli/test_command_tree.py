"""The command line as a whole: examples in every help, variables for every option, no heavy import for a hit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from budgetctl.__main__ import run as run_command
from budgetctl.cli.app import app
from store import Store

HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "duckdb",
    "pyarrow",
    "numpy",
    "matplotlib",
)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        if not hasattr(command, "commands") or command.invoke_without_command:
            yield (*path, name), command


TREE = list(commands(typer.main.get_command(app)))


def test_the_tree_has_the_promised_commands() -> None:
    names = {path for path, _ in TREE}
    stages = {(stage,) for stage in ("base", "sft", "fork", "pft", "gen", "eval")}
    assert (
        stages
        | {
            ("data", "rows"),
            ("data", "pairs"),
            ("data", "plan"),
            ("data", "refresh"),
            ("plan",),
            ("run",),
            ("report",),
            ("report", "lineage"),
            ("export",),
            ("worker",),
            ("recommend",),
            ("store", "ls"),
        }
        <= names
    )


@pytest.mark.parametrize(
    ("path", "command"), TREE, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_help_has_an_example_that_names_its_command(path: tuple[str, ...], command: Any) -> None:
    _, found, example = (command.help or "").partition("Example:")
    assert found, f"the help of {' '.join(path)} has no example"
    assert f"budgetctl {' '.join(path)}" in example


def test_every_option_can_come_from_the_environment(tmp_path: Path) -> None:
    for path, command in TREE:
        for option in command.params:
            assert option.param_type_name == "argument" or option.allow_from_autoenv, (path, option.name)
    variables = {
        "BUDGETCTL_DATA_SIZE": "3",
        "BUDGETCTL_DATA_SEED": "7",
        "BUDGETCTL_STORE": str(tmp_path / "s"),
    }
    assert CliRunner().invoke(app, ["data", "arith"], env=variables).exit_code == 0
    (artifact,) = Store.open(tmp_path / "s").artifacts()
    assert (artifact.identity["size"], artifact.identity["seed"]) == (3, 7)


def modules_after(*arguments: str) -> set[str]:
    """Names of the modules that a command leaves imported."""
    script = (
        "import sys; from budgetctl.__main__ import run\n"
        "code = run(sys.argv[1:]); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    assert modules_after("--help").isdisjoint(HEAVY)


def test_a_hit_imports_nothing_heavy(tmp_path: Path) -> None:
    command = ("data", "arith", "--size", "4", "--store", str(tmp_path / "s"))
    assert "pyarrow" in modules_after(*command)
    assert modules_after(*command).isdisjoint(HEAVY)


def test_every_command_with_a_device_refuses_one_that_does_not_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    taking = [
        (path, [option for option in command.params if option.required])
        for path, command in TREE
        if any("--device" in option.opts for option in command.params)
    ]
    assert len(taking) >= 9
    for path, required in taking:
        given = [
            word for one in required for word in (one.opts[0], "x") if word.startswith("--") or word == "x"
        ]
        code = run_command([*path, "--device", "cuda:x", *given])
        assert (code, "there is no device 'cuda:x'" in capsys.readouterr().err) == (2, True), path
