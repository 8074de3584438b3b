"""The recipe: one YAML file that describes a study completely.

Unknown keys are refused with the nearest valid name. Settings of a stage that the recipe leaves out take
that stage's own defaults; settings of how to run (device, jobs, store) are not part of a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from budgetctl.errors import UsageError
from budgetctl.schema import Frozen, describe_problems
from budgetctl.slurm.kubernetes import KubernetesSettings
from budgetctl.slurm.settings import SlurmSettings
from budgetctl.stages.answering import EngineName
from budgetctl.study.budget import Prices, exact
from budgetctl.study.data_settings import DataSettings
from budgetctl.study.fork_settings import ForkSettings
from budgetctl.study.purchase import TOKENS
from budgetctl.training.config import PftSettings, Seed, SftSettings


def _listed(value: object) -> object:
    return list(value) if isinstance(value, list | tuple) else [value]


_ONLY_OF_SFT = SftSettings.model_fields.keys() - PftSettings.model_fields.keys()
_ONLY_OF_PFT = PftSettings.model_fields.keys() - SftSettings.model_fields.keys()
OneOrMore = BeforeValidator(_listed)
Share = Annotated[float, Field(ge=0, le=1)]


class Cost(Frozen):
    """Prices of one row of each kind."""

    sft: float = Field(default=1.0, gt=0)
    """Price of one demonstration."""
    pft: float = Field(default=1.0, gt=0)
    """Price of one preference pair."""
    currency: str = "examples"
    """What budgets are in: `examples`, `tokens` (counted by the base's tokenizer), or the name of money."""
    gpu_hour: float | None = Field(default=None, gt=0)
    """What an hour of one GPU costs, in `gpu_currency`; None leaves money for computing out of estimates."""
    gpu_currency: str = "$"

    @model_validator(mode="after")
    def _tokens_have_no_price(self) -> Cost:
        if self.currency == TOKENS and (self.sft, self.pft) != (1.0, 1.0):
            raise ValueError("budgets in tokens take no prices; leave sft and pft out, or name money")
        return self


class EvalSettings(Frozen):
    """What is measured, on which rows."""

    split: Literal["dev", "test"] = "test"
    size: int | None = Field(default=None, gt=0)
    """Number of prompts; None takes the whole split."""
    decoding: str = "greedy"
    """`greedy`, `paper` (T 0.5, top-p 0.9, top-k 150), `sample` (T 1), or `sample-8` for eight answers a prompt."""
    samples: int = Field(default=1, gt=0)
    """Answers per prompt, where `decoding` does not say."""
    max_new_tokens: int | None = Field(default=None, gt=0)
    """Longest answer; None takes the task's own."""
    engine: EngineName = "transformers"
    """Who generates; in the key, because two engines round differently."""
    pass_at: tuple[Annotated[int, Field(gt=0)], ...] = ()
    """Report pass@k for these k; each needs as many samples."""


class Recipe(Frozen):
    """A study: every combination of base × task × method × budget × share × seed is a cell."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the study; letters, digits, `.`, `_` and `-`."""
    description: str = ""
    """For people."""
    bases: Annotated[tuple[str, ...], OneOrMore, Field(min_length=1, alias="base")]
    """Base models: names such as `tiny` or `llama3-1B`, Transformers folders, hub ids. One or a list."""
    tasks: Annotated[tuple[str, ...], OneOrMore, Field(min_length=1, alias="task")]
    """Tasks: `arith`, `gsm8k`. One or a list."""
    methods: Annotated[tuple[str, ...], OneOrMore, Field(min_length=1, alias="method")] = ("dpo",)
    """Preference methods: `dpo`, `kto`, … One or a list."""
    budgets: Annotated[tuple[float, ...], OneOrMore, Field(min_length=1)]
    """Budgets, in annotated rows or, with prices in `cost`, in money."""
    shares: Annotated[tuple[Share, ...], OneOrMore] = (1.0, 0.75, 0.5, 0.25, 0.0)
    """SFT shares of each budget, 0 to 1; the rest buys preference pairs. May be empty beside `forks`."""
    seeds: Annotated[tuple[Seed, ...], OneOrMore, Field(min_length=1)] = (0,)
    """Seeds, from 0 to 2³² − 1; each draws its own rows and trains its own models."""
    cost: Cost = Cost()
    """What rows cost; see below."""
    data: DataSettings = DataSettings()
    """Where rows come from; see below."""
    base_settings: Mapping[str, Any] = {}
    """Settings of the base stage (for `tiny`: its size and pretraining)."""
    sft: Mapping[str, Any] = {}
    """Training settings of SFT; names as in `budgetctl sft --help`."""
    pft: Mapping[str, Any] = {}
    """Training settings of preference finetuning."""
    by_base: Mapping[str, Mapping[str, Any]] = {}
    """Base → training settings that it alone gets, laid over `sft` and `pft` (such as extra LoRA targets); what only
    one of the two has, such as `beta`, goes to that one."""
    by_method: Mapping[str, Mapping[str, Any]] = {}
    """Method → settings that it alone gets, laid over `pft` (such as its β)."""
    leave_out: tuple[Mapping[str, Any], ...] = ()
    """Cells of the grid that are not in the study, such as `{budget: 20000, share: 0}`."""
    evaluation: EvalSettings = Field(default=EvalSettings(), alias="eval")
    """What is measured; see below."""
    forks: ForkSettings | None = None
    """Preference runs that fork off one long SFT run; see below."""
    slurm: SlurmSettings = SlurmSettings()
    """The batch script; see below."""
    kubernetes: KubernetesSettings = KubernetesSettings()
    """What a Job of Kubernetes needs besides; see below."""

    @field_validator("budgets")
    @classmethod
    def _positive(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        for budget in budgets:
            if budget <= 0:
                raise ValueError(f"budget {budget:g} must be above 0")
        return budgets

    @model_validator(mode="after")
    def _no_repeats(self) -> Recipe:
        for name in ("bases", "tasks", "methods", "budgets", "shares", "seeds"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} lists a value twice: {list(values)}")
        return self

    @model_validator(mode="after")
    def _something_to_do(self) -> Recipe:
        if not self.shares and self.forks is None:
            raise ValueError("shares is empty; give SFT shares such as [1, 0.5, 0], or a forks section")
        if self.forks is not None and self.cost.currency == TOKENS:
            raise ValueError("what a fork leaves of a budget is counted in rows or money, not in tokens")
        if others := sorted(set(self.data.tasks) - set(self.tasks)):
            raise ValueError(
                f"data.tasks names {', '.join(others)}, but the study's tasks are {', '.join(self.tasks)}"
            )
        return self

    @model_validator(mode="after")
    def _exceptions_name_what_there_is(self) -> Recipe:
        for name, given, known in (
            ("by_base", self.by_base, self.bases),
            ("by_method", self.by_method, self.methods),
        ):
            if unknown := [key for key in given if key not in known]:
                raise ValueError(
                    f"{name} names {', '.join(unknown)}, which is not in the grid: {', '.join(known)}"
                )
        axes = {"base": self.bases, "task": self.tasks, "method": self.methods, "budget": self.budgets,
                "share": self.shares, "seed": self.seeds}  # fmt: skip
        for entry in self.leave_out:
            if not entry:
                raise ValueError("leave_out has an empty entry, which would leave out every cell")
            for axis, value in entry.items():
                if axis not in axes:
                    raise ValueError(f"leave_out knows {', '.join(axes)}; given: {axis}")
                if value not in axes[axis]:
                    raise ValueError(
                        f"leave_out names {axis} {value}, which is not in the grid: {list(axes[axis])}"
                    )
        return self

    def sft_of(self, base: str) -> Mapping[str, Any]:
        """Return the settings of supervised finetuning of one base."""
        return _merged(self.sft, self._of_base(base, other=_ONLY_OF_PFT))

    def pft_of(self, base: str, method: str) -> Mapping[str, Any]:
        """Return the settings of preference finetuning of one base by one method."""
        given = _merged(self.pft, self._of_base(base, other=_ONLY_OF_SFT))
        return {**_merged(given, self.by_method.get(method, {})), "method": method}

    def _of_base(self, base: str, other: AbstractSet[str]) -> Mapping[str, Any]:
        return {name: value for name, value in self.by_base.get(base, {}).items() if name not in other}

    @property
    def prices(self) -> Prices:
        """The exact prices behind `cost`."""
        return Prices(exact(self.cost.sft, "cost.sft"), exact(self.cost.pft, "cost.pft"), self.cost.currency)


def load_recipe(
    path: Path,
    changes: Mapping[str, Any] | None = None,
    triggers: Sequence[Mapping[str, Any]] | None = None,
) -> Recipe:
    """Read and validate a recipe file.

    Args:
        path: The file.
        changes: Settings that replace the file's, nested as in it (`--set`).
        triggers: Replace those of its `forks` section (`--thresholds`).

    Raises:
        UsageError: The file is missing, is not YAML, or does not describe a study; or it has no forks to trigger.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"there is no recipe {path}; `budgetctl init` writes one") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise UsageError(f"the recipe {path} is not a text file") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise UsageError(
            f"the recipe {path} is not valid YAML{where}: {getattr(error, 'problem', error)}"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"the recipe {path} must be a mapping of settings, not a {type(content).__name__}")
    content = _merged(content, changes or {})
    if triggers is not None:
        if not isinstance(content.get("forks"), Mapping):
            raise UsageError(
                f"the recipe {path} has no forks whose triggers --thresholds could replace; give it a `forks` section"
            )
        content = _merged(content, {"forks": {"triggers": triggers}})
    recipe = parse_recipe(content, str(path))
    return recipe.model_copy(update={"data": recipe.data.below(path.parent)})


def _merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another."""
    merged = dict(content)
    for name, value in changes.items():
        before = merged.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[name] = _merged(before or {}, value) if both else value
    return merged


def parse_recipe(content: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Validate a recipe's content.

    Raises:
        UsageError: With one sentence per problem, unknown keys with the nearest valid name.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise UsageError(describe_problems(error, Recipe, source)) from error
