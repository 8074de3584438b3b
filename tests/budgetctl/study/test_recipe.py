from pathlib import Path

import pytest

from budgetctl.errors import UsageError
from budgetctl.study.cells import cells_of
from budgetctl.study.recipe import load_recipe, parse_recipe

MINIMAL = {"name": "one", "base": "tiny", "task": "arith", "budgets": [10]}


def test_single_values_stand_for_lists() -> None:
    recipe = parse_recipe(MINIMAL | {"budgets": 10, "seeds": 3})
    assert (recipe.bases, recipe.budgets, recipe.seeds) == (("tiny",), (10.0,), (3,))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sead": 1}, "unknown key `sead`; did you mean `seeds`"),
        ({"eval": {"spilt": "dev"}}, "unknown key `eval.spilt`; did you mean `split`"),
        ({"data": {"overlap": "some"}}, "data.overlap"),
        ({"shares": [1.5]}, "shares.0: Input should be less than or equal to 1 (given: 1.5)"),
        ({"shares": [-0.1]}, "shares.0: Input should be greater than or equal to 0 (given: -0.1)"),
        ({"budgets": [0]}, "budget 0 must be above 0"),
        ({"budgets": []}, "budgets"),
        ({"seeds": [1, 1]}, "seeds lists a value twice"),
        ({"seeds": [-1]}, "seeds.0: Input should be greater than or equal to 0 (given: -1)"),
        ({"seeds": [5_000_000_000]}, "seeds.0: Input should be less than or equal to 4294967295"),
        ({"name": "a/b"}, "name"),
        ({"cost": {"sft": 0}}, "cost.sft"),
        ({"by_base": {"qwen2-7B": {}}}, "by_base names qwen2-7B, which is not in the grid: tiny"),
        ({"by_method": {"kto": {"beta": 1}}}, "by_method names kto, which is not in the grid: dpo"),
        ({"leave_out": [{}]}, "would leave out every cell"),
        (
            {"leave_out": [{"shares": 0}]},
            "leave_out knows base, task, method, budget, share, seed; given: shares",
        ),
        ({"leave_out": [{"budget": 11}]}, "leave_out names budget 11, which is not in the grid: [10.0]"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_recipe(MINIMAL | change)
    assert sentence in str(caught.value)


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(UsageError, match="`task` is missing"):
        parse_recipe({k: v for k, v in MINIMAL.items() if k != "task"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a: [", "not valid YAML at line"), ("- a\n", "must be a mapping"), ("", "must be a mapping")],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        load_recipe(file)


def test_a_missing_recipe_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no recipe .*budgetctl init"):
        load_recipe(tmp_path / "none.yaml")


def test_data_lie_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("{name: a, base: tiny, task: gsm8k, budgets: 1, data: {path: rows}}")
    assert load_recipe(tmp_path / "r.yaml").data.path == tmp_path / "rows"


def test_one_bases_and_one_methods_settings_lie_over_the_common_ones() -> None:
    recipe = parse_recipe(
        MINIMAL | {
            "base": ["tiny", "other"], "method": ["dpo", "kto"],
            "sft": {"epochs": 3, "lora": {"rank": 8, "alpha": 4}}, "pft": {"beta": 0.5, "lora": {"rank": 8}},
            "by_base": {"tiny": {"lora": {"rank": 2}}}, "by_method": {"kto": {"beta": 0.1}},
        }
    )  # fmt: skip
    assert recipe.sft_of("tiny") == {"epochs": 3, "lora": {"rank": 2, "alpha": 4}}
    assert recipe.sft_of("other") == {"epochs": 3, "lora": {"rank": 8, "alpha": 4}}
    assert recipe.pft_of("tiny", "kto") == {"beta": 0.1, "lora": {"rank": 2}, "method": "kto"}
    assert recipe.pft_of("other", "dpo") == {"beta": 0.5, "lora": {"rank": 8}, "method": "dpo"}


def test_a_bases_settings_that_only_one_side_has_go_there() -> None:
    recipe = parse_recipe(MINIMAL | {"by_base": {"tiny": {"beta": 0.5, "loss": "full", "epochs": 3}}})
    assert recipe.sft_of("tiny") == {"loss": "full", "epochs": 3}
    assert recipe.pft_of("tiny", "dpo") == {"beta": 0.5, "epochs": 3, "method": "dpo"}
    unknown = parse_recipe(MINIMAL | {"by_base": {"tiny": {"epoch": 3}}})
    assert unknown.sft_of("tiny") == {"epoch": 3}  # refused where the settings are validated


def test_cells_that_are_left_out() -> None:
    recipe = parse_recipe(
        MINIMAL | {"budgets": [10, 20], "shares": [1, 0], "leave_out": [{"budget": 20, "share": 0}]}
    )
    assert [(cell.budget, cell.share) for cell, _ in cells_of(recipe)] == [(10, 1), (10, 0), (20, 1)]
