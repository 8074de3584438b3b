"""Write a checkpoint for others: an adapter or a merged model that Transformers, PEFT and vLLM load, with a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from budgetctl.errors import UsageError
from budgetctl.models.adapters import CONFIG_FILE, WEIGHTS_FILE, Adapter
from budgetctl.models.checkpoints import CHECKPOINT_STAGES, training_of
from budgetctl.models.endings import GENERATION_CONFIG, Ending, copy_tokenizer, write_ending
from budgetctl.models.policy import is_adapter
from budgetctl.models.registry import Precision
from budgetctl.models.templates import Template
from store import Artifact, Store

Form = Literal["adapter", "merged"]
VOCABULARY_MODULES = {"embed_tokens", "lm_head"}
"""Often one tensor."""


@dataclass(frozen=True)
class Lineage:
    """A checkpoint and everything it came from, nearest first."""

    checkpoint: Artifact
    training: Artifact
    """Whose identity says how the checkpoint was trained: itself, or the trunk of a fork."""
    base: Artifact
    ancestors: tuple[Artifact, ...]


def export(store: Store, key: str, to: Path, form: Form, precision: Precision = "bfloat16") -> Path:
    """Write a checkpoint, or a base, as files that other programs load.

    `adapter` writes PEFT's two files; `merged` adds the adapter's product to the base's weights, once, in float32,
    and rounds to `precision`. Both carry the tokenizer with the chat template it was trained with, and generation
    settings that end where the template ends a turn.

    Args:
        store: Where the checkpoint lies.
        key: Its full key.
        to: A folder that does not exist or is empty.
        form: Which of the two.
        precision: Of merged weights.

    Returns:
        The folder.

    Raises:
        UsageError: The key is no model, the form does not exist for it, or the folder is in use.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is not empty; export writes into a new or an empty folder.")
    lineage = lineage_of(store, key)
    folder = lineage.checkpoint.path()
    if form == "adapter":
        if not is_adapter(folder):
            raise UsageError(f"{key[:12]} holds full weights, no adapter; export it with --merged.")
        _write_adapter(lineage, to)
    else:
        _write_merged(lineage, to, precision)
    template, ending = lineage.training.identity.get("template"), None
    if template is None:  # a base
        copy_tokenizer(lineage.base.path(), to)
    else:
        ending = write_ending(lineage.base.path(), Template.model_validate(template), to)
    (to / "README.md").write_text(model_card(lineage, form, ending), encoding="utf-8")
    return to


def lineage_of(store: Store, key: str) -> Lineage:
    """Open a checkpoint with its base and ancestors.

    Raises:
        UsageError: The key belongs to something that is no model, or to a fork that never fired.
    """
    checkpoint = store.artifact(key)
    if checkpoint.stage == "base":
        return Lineage(checkpoint, checkpoint, checkpoint, ())
    if checkpoint.stage not in CHECKPOINT_STAGES:
        raise UsageError(
            f"{key[:12]} is a {checkpoint.stage} artifact; only a base or a checkpoint can be exported."
        )
    training = training_of(checkpoint, store)
    base = store.artifact(training.parents["base"])
    return Lineage(checkpoint, training, base, tuple(_ancestors(store, checkpoint)))


def _ancestors(store: Store, artifact: Artifact) -> Iterator[Artifact]:
    seen = {artifact.key}
    front = list(artifact.parents.values())
    while front:
        key = front.pop(0)
        if key in seen or not store.has(key):
            continue
        seen.add(key)
        found = store.artifact(key)
        yield found
        front += found.parents.values()


def _write_adapter(lineage: Lineage, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    folder = lineage.checkpoint.path()
    shutil.copyfile(folder / WEIGHTS_FILE, to / WEIGHTS_FILE)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_name(lineage.base)
    (to / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_merged(lineage: Lineage, to: Path, precision: Precision) -> None:
    import torch  # noqa: PLC0415
    from peft import PeftModel  # noqa: PLC0415

    from budgetctl.models.loading import load_base  # noqa: PLC0415

    folder = lineage.checkpoint.path()
    cpu = torch.device("cpu")
    if is_adapter(folder):
        base = load_base(lineage.base.path(), cpu, "float32").model
        if VOCABULARY_MODULES & set(Adapter.load(folder).config["target_modules"]):
            _untie(base)
        wrapped: Any = PeftModel.from_pretrained(base, str(folder))
        model = wrapped.merge_and_unload()
    else:
        model = load_base(folder, cpu, "float32").model
    model.to(getattr(torch, precision)).save_pretrained(to)


def _untie(model: Any) -> None:
    """Give the head weights of its own, so that an adapter on it or on the embeddings is merged into one of them."""
    import torch  # noqa: PLC0415

    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embeddings.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        model.config.tie_word_embeddings = False


def base_name(base: Artifact) -> str:
    """What to call the base outside this store: its hub id, or the store's key."""
    source = base.identity["source"]
    return str(source.get("repository") or f"budgetctl-base-{base.key[:12]}")


def model_card(lineage: Lineage, form: Form, ending: Ending | None) -> str:
    """Return the README of an exported model: what it is, how its answers end, and the whole chain it came from."""
    checkpoint = lineage.checkpoint
    name = base_name(lineage.base)
    lines = [
        "---", f"base_model: {name}", "library_name: " + ("peft" if form == "adapter" else "transformers"),
        "tags: [budgetctl]", "---", "",
        f"# {checkpoint.stage} checkpoint {checkpoint.key[:12]}", "",
        f"Made by budgetctl over `{name}`. "
        + ("A LoRA adapter; load it over that base." if form == "adapter" else "A whole model, merged once."),
        *_about_ending(form, ending), "", "## Lineage", "", "| stage | key | settings | results |", "|---|---|---|---|",
    ]  # fmt: skip
    for artifact in (checkpoint, *lineage.ancestors):
        lines.append(
            f"| {artifact.stage} | `{artifact.key}` | {_cell(artifact.identity)} | {_cell(artifact.metrics)} |"
        )
    return "\n".join([*lines, ""])


def _about_ending(form: Form, ending: Ending | None) -> list[str]:
    if ending is None:
        return []
    ids = list(ending.ids)
    lines = ["", "## Answers", ""]
    lines += [
        f"Prompts are written by the tokenizer's chat template; an answer ends with `{ending.token}`, as "
        f"`{GENERATION_CONFIG}` says (token ids that end one: {ids})."
    ]
    if form == "merged":
        return [*lines, "Transformers and vLLM read that by themselves."]
    return [
        *lines,
        "PEFT and vLLM read such settings from the base alone, so name this folder to them:",
        "",
        "- PEFT: `model.generate(…, generation_config=GenerationConfig.from_pretrained(FOLDER))`, and the tokenizer of "
        "this folder",
        "- vLLM: `vllm serve BASE --enable-lora --lora-modules NAME=FOLDER --tokenizer FOLDER --generation-config "
        f"FOLDER`, or `stop_token_ids={ids}` in each request",
    ]


def _cell(values: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in values.items() if name != "template"}
    return "`" + json.dumps(shown, sort_keys=True).replace("|", "\\|") + "`" if shown else ""
