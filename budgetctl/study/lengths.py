"""Which rows are too long for a study, and whose tokenizer says so."""

from __future__ import annotations

from budgetctl.data.requests import Lengths
from budgetctl.study.bases import BaseRequest
from budgetctl.study.recipe import Recipe
from budgetctl.training.config import TrainingSettings


def lengths_of(recipe: Recipe, name: str, base: BaseRequest, counted: bool = False) -> Lengths | None:
    """How the training rows of a base are measured; None if their lengths do not matter.

    Args:
        recipe: The study.
        name: What the recipe calls the base.
        base: The base, whose tokenizer and template count.
        counted: Whether tokens are counted in any case, because they are what a budget buys.
    """
    most = recipe.data.max_tokens
    if most is None and not counted:
        return None
    return Lengths(base.key, base.template, shortest_limit(recipe, name) if most == "fit" else most)


def shortest_limit(recipe: Recipe, base: str) -> int:
    """The shortest `max_length` of the trainings of a base, so that every row fits into all of them."""
    default = TrainingSettings().max_length
    given = [recipe.sft_of(base), *(recipe.pft_of(base, method) for method in recipe.methods)]
    return min(int(settings.get("max_length", default)) for settings in given)
