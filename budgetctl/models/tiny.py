"""The tiny base model: a Llama of well under a million parameters, pretrained here in about a minute.

Everything is fixed: the corpus, its tokenizer, the number of steps (never a time limit), float32. So the
same configuration means the same model, up to the rounding of one machine's kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from budgetctl.errors import InterruptedRunError
from budgetctl.models.corpus import CorpusMix, documents
from budgetctl.schema import Frozen

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from budgetctl.console import Reporter

BEGIN, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
"""The tokens of `templates/tiny.jinja`. The corpus uses BEGIN and END around documents, never the roles."""
TOKENIZER_DOCUMENTS = 4000
CHECKPOINT = "pretraining.pt"


class TinyConfig(Frozen):
    """Shape and pretraining of the model."""

    hidden: int = Field(default=96, gt=0)
    layers: int = Field(default=3, gt=0)
    heads: int = Field(default=4, gt=0)
    feed_forward: int = Field(default=288, gt=0)
    vocabulary: int = Field(default=512, ge=280)
    """At most so many tokens: 256 bytes, the special tokens and merges learned from the corpus."""
    context: int = Field(default=256, gt=0)
    mix: CorpusMix = CorpusMix()
    steps: int = Field(default=900, gt=0)
    sequences: int = Field(default=16, gt=0)
    """Packed sequences a step."""
    sequence: int = Field(default=128, gt=1)
    """Tokens a packed sequence."""
    learning_rate: float = Field(default=3e-3, gt=0)
    warmup: int = Field(default=50, ge=0)
    seed: int = 0


def build_tokenizer(config: TinyConfig) -> PreTrainedTokenizerFast:
    """A byte-level BPE learned from the corpus, every digit a token of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=[PAD, BEGIN, END, *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(documents(config.mix, config.seed), TOKENIZER_DOCUMENTS), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        model_max_length=config.context,
        clean_up_tokenization_spaces=False,
    )


def build_model(config: TinyConfig, vocabulary: int) -> LlamaForCausalLM:
    """The untrained model in float32, weights drawn from the configuration's seed."""
    import torch  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    shape = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.feed_forward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return LlamaForCausalLM(shape).to(torch.float32)


def packed(config: TinyConfig, tokenizer: PreTrainedTokenizerFast) -> Iterator[torch.Tensor]:
    """Token blocks of shape (sequences, sequence), documents one after the other; step n is always the same."""
    import torch  # noqa: PLC0415

    wanted = config.sequences * config.sequence
    stream, buffer = documents(config.mix, config.seed + 1), list[int]()
    while True:
        while len(buffer) < wanted:
            texts = [f"{BEGIN}{document}{END}" for document in islice(stream, 256)]
            for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
                buffer.extend(ids)
        yield torch.tensor(buffer[:wanted]).view(config.sequences, config.sequence)
        del buffer[:wanted]


def pretrain(
    config: TinyConfig,
    out: Path,
    scratch: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    checkpoint_every: int = 200,
) -> dict[str, float | int]:
    """Train the model on the CPU and save it with its tokenizer as a Transformers folder.

    Args:
        config: What to train; nothing else influences the result.
        out: Receives `model.safetensors`, `config.json` and the tokenizer's files.
        scratch: Keeps a checkpoint; an interrupted pretraining goes on from there.
        reporter: Shows steps and loss.
        should_stop: Asked after every step.
        checkpoint_every: Steps between checkpoints.

    Returns:
        Metrics: `parameters`, `steps`, `tokens`, `loss` (mean of the last fifty steps).

    Raises:
        InterruptedRunError: Asked to stop; the checkpoint is in `scratch`.
    """
    import torch  # noqa: PLC0415
    from transformers import logging as transformers_logging  # noqa: PLC0415

    tokenizer = build_tokenizer(config)
    model = build_model(config, len(tokenizer)).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    checkpoint, losses, start = scratch / CHECKPOINT, list[float](), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        losses, start = state["losses"], state["step"]

    def save(step: int) -> None:
        parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "losses": losses, "step": step}, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    with reporter.bar("pretraining the tiny base model", config.steps) as bar:
        for step, block in enumerate(islice(packed(config, tokenizer), config.steps)):
            if step < start:
                continue
            optimizer.zero_grad(set_to_none=True)
            loss = model(input_ids=block, labels=block).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            bar.update(step + 1, loss=losses[-1])
            if should_stop():
                save(step + 1)
                raise InterruptedRunError(f"pretraining stopped after step {step + 1} of {config.steps}")
            if (step + 1) % checkpoint_every == 0:
                save(step + 1)
    transformers_logging.disable_progress_bar()  # this stage has a bar of its own
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    last = losses[-50:]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": config.steps,
        "tokens": config.steps * config.sequences * config.sequence,
        "loss": sum(last) / len(last),
    }


def _rate(step: int, config: TinyConfig) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine down to a tenth of one percent."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    done = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return max(0.5 * (1 + math.cos(math.pi * done)), 1e-3)
