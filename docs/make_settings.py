"""Write docs/reference/settings.md from the settings models: `python docs/make_settings.py`."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

from pydantic import BaseModel

from budgetctl.data.columns import Columns
from budgetctl.data.sources.arith import ArithSource
from budgetctl.data.sources.files import SetAside
from budgetctl.data.supply import SideOptions, SourceOptions
from budgetctl.forking.triggers import ExamplesTrigger, PassTrigger, PerplexityTrigger, PlateauTrigger
from budgetctl.models.corpus import CorpusMix
from budgetctl.models.tiny import TinyConfig
from budgetctl.slurm.kubernetes import KubernetesSettings
from budgetctl.stages.fork import Anneal
from budgetctl.study.data_settings import DataSettings, TaskData
from budgetctl.study.fork_settings import ForkSettings
from budgetctl.study.recipe import Cost, EvalSettings, Recipe, SlurmSettings
from budgetctl.training.config import LoraSettings, OptimizerSettings, PftSettings, SftSettings

TARGET = Path(__file__).parent / "reference" / "settings.md"

SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("The recipe", "Top-level keys of a recipe file.", Recipe),
    ("`cost`", "Prices of one row of each kind.", Cost),
    ("`data`", "Where rows come from and how subsets are drawn.", DataSettings),
    ("`tasks` of `data`", "One task of several.", TaskData),
    ("`data.options` of `arith`", "The generated task.", ArithSource),
    (
        "`data.options` of `gsm8k` and `tuluif`",
        "Rows of your own; see docs/guide/datasets.md.",
        SourceOptions,
    ),
    ("`sft`, `pref` and `eval` of `data.options`", "One side's dataset.", SideOptions),
    ("`columns`", "Which column holds what.", Columns),
    ("`set_aside`", "Dev and test rows out of train rows.", SetAside),
    ("`base_settings` of `tiny`", "The embedded base model.", TinyConfig),
    ("`mix` of `base_settings`", "What `tiny` is pretrained on.", CorpusMix),
    ("`sft`", "Supervised finetuning; on the command line `--set NAME=VALUE`.", SftSettings),
    ("`pft`", "Preference finetuning; what is not listed is as for `sft`.", PftSettings),
    ("`sft.optimizer`, `pft.optimizer`", "How weights move.", OptimizerSettings),
    ("`sft.lora`, `pft.lora`", "Shape of one adapter.", LoraSettings),
    ("`eval`", "What is measured.", EvalSettings),
    (
        "`forks`",
        "One long SFT run, the trunk, and the preference runs that start from states of it; see docs/guide/forks.md.",
        ForkSettings,
    ),
    ("`plateau` of `forks.triggers`", "When a metric has stopped gaining.", PlateauTrigger),
    ("`forks.anneal`", "Let each fork cool down before preference finetuning.", Anneal),
    ("`slurm`", "The batch script.", SlurmSettings),
    ("`kubernetes`", "What `plan --emit k8s` needs besides.", KubernetesSettings),
)


TRIGGERS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("perplexity: [3.0, 2.5]", PerplexityTrigger),
    ("pass@4: 0.3", PassTrigger),
    ("plateau: {metric: pass@1, patience: 3, min_gain: 0.01}", PlateauTrigger),
    ("every: 64` or `at: [100, 400]", ExamplesTrigger),
)
"""The entries of `forks.triggers`; `every` and `at` make triggers of one kind."""


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Field name → the docstring below it, in this class or the ones it extends."""
    found: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if parent in (BaseModel, object) or not issubclass(parent, BaseModel):
            continue
        body = ast.parse(inspect.getsource(parent)).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[union-attr]
    return found


def section(title: str, introduction: str, model: type[BaseModel]) -> str:
    """One table of fields."""
    said = meanings(model)
    lines = [f"## {title}", "", introduction, "", "| key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name == "kind":  # tells triggers apart inside a key; a recipe's entry is named by it
            continue
        if field.is_required():
            default = "required"
        elif isinstance(field.default, BaseModel):
            default = "see below"
        else:
            default = f"`{field.default!r}`".replace("|", "\\|")
        lines.append(
            f"| `{field.alias or name}` | {default} | {said.get(name, '').replace('|', chr(92) + '|')} |"
        )
    return "\n".join(lines)


def triggers() -> str:
    """The entries that `forks.triggers` takes."""
    lines = [
        "## `forks.triggers`",
        "",
        "Any number of entries, each a mapping with one of these keys; all but `plateau`",
    ]
    lines[-1] += " take a number or a list of numbers."
    lines += ["", "| entry | meaning |", "|---|---|"]
    lines += [f"| `{entry}` | {inspect.getdoc(model)} |" for entry, model in TRIGGERS]
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    head = "# Settings\n\nWritten by `python docs/make_settings.py` from the models that validate them.\n"
    parts = []
    for entry in SECTIONS:
        parts.append(section(*entry))
        parts += [triggers()] if entry[2] is ForkSettings else []
    return "\n\n".join([head, *parts]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(TARGET, file=sys.stderr)
