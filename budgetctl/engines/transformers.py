"""Generation with Transformers: left-padded batches, a key-value cache, adapters swapped over one base.

The loop is written out (rather than `model.generate`) for three reasons: every row draws from a random stream of
its own, finished rows leave the batch, and log-probabilities come for free.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from budgetctl.engines.gpus import gpu_holders, gpu_memory, physical_gpu
from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Prompt, check_lengths, check_texts
from budgetctl.engines.sampling import next_tokens, row_uniforms
from budgetctl.errors import BudgetctlError
from budgetctl.models.adapters import Adapter, check_fits
from budgetctl.models.loading import LoadedBase, choose_device, load_base
from budgetctl.models.registry import Precision

CPU_CACHE_BYTES = 1 << 30
GPU_CACHE_SHARE = 0.5
"""Share of a GPU's free memory that a batch's cache may take; logits and activations need the rest."""
LARGEST_BATCH = {"cpu": 256, "cuda": 1024}
"""Rows at once, where memory allows. A small model on a GPU waits for kernel launches, not for arithmetic: on an H200,
SmolLM2-135M took 66 ms a token for 256 rows and for 39 (docs/results/generation.md)."""
CANARY_TOKENS = 8


@dataclass
class _Row:
    prompt: Prompt
    sample: int
    limit: int
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0


class TransformersEngine:
    """A base model that answers under one adapter after the other; see `engines.protocol.Engine`."""

    start_s = 0.0

    def __init__(
        self,
        base: Path | LoadedBase,
        device: str = "auto",
        precision: Precision = "float32",
        batch: int | None = None,
    ) -> None:
        """Load a base, or take one that is in memory already, with whatever adapters are active in it.

        Args:
            base: Its folder, or the loaded model; `device` and `precision` are then the model's own.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            precision: Of the weights.
            batch: Rows at once; None derives it.

        Raises:
            BudgetctlError: The GPU has no room for the model; names who holds it.
        """
        loaded = base if isinstance(base, LoadedBase) else _load(base, choose_device(device), precision)
        self._device = loaded.device
        self._loaded = loaded
        self._base: Any = self._loaded.model
        self._model: Any = self._base
        self._peft: Any = None
        self._adapter: str | None = None
        self._batch = batch

    def generate(
        self,
        prompts: Sequence[Prompt],
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
        done: frozenset[tuple[str, int]] = frozenset(),
    ) -> Generator[list[Answer]]:
        """Yield finished answers a batch at a time, longest prompts first.

        Raises:
            UsageError: A prompt leaves no room for an answer, or the adapter belongs to another base.
            BudgetctlError: The adapter changes nothing, or a single prompt does not fit into memory.
        """
        context = self._loaded.context_length
        check_lengths(prompts, context)
        self._use(adapter)
        draws = decoding.max_new_tokens if decoding.temperature else 0
        rows = [
            _Row(
                prompt, sample, min(decoding.max_new_tokens, context - len(prompt.ids)),
                row_uniforms(decoding, prompt.prompt_id, sample, draws),
            )
            for prompt in prompts for sample in range(decoding.samples) if (prompt.prompt_id, sample) not in done
        ]  # fmt: skip
        rows.sort(key=lambda row: -len(row.prompt.ids))
        start = 0
        size = self._batch or self._fitting(rows, decoding)
        while start < len(rows):
            batch = rows[start : start + size]
            try:
                answers = self._answer(batch, decoding, frozenset(stop_ids))
            except torch.cuda.OutOfMemoryError:
                if size == 1:
                    raise BudgetctlError(
                        f"Generating for a single prompt of {len(batch[0].prompt.ids)} tokens runs out of GPU memory. "
                        "Lower max_new_tokens, or free the GPU."
                    ) from None
                size = max(1, size // 2)
                for row in batch:
                    row.tokens, row.logprob = [], 0.0
                torch.cuda.empty_cache()
                continue
            yield answers
            start += len(batch)

    def logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        """Return each answer token's log-probability after its prompt, in the order given."""
        check_texts(prompts, answers, self._loaded.context_length)
        self._use(adapter)
        texts = [(*prompt.ids, *answer) for prompt, answer in zip(prompts, answers, strict=True)]
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        found: list[list[float]] = [[] for _ in texts]
        start, most = 0, self._batch or LARGEST_BATCH[self._device.type]
        while start < len(order):
            part = order[start : start + min(most, self._scorable(len(texts[order[start]])))]
            try:
                scores = self._score([texts[index] for index in part])
            except torch.cuda.OutOfMemoryError:
                if len(part) == 1:
                    raise BudgetctlError(
                        f"Scoring a single text of {len(texts[part[0]])} tokens runs out of GPU memory. Free the GPU."
                    ) from None
                most = len(part) // 2
                torch.cuda.empty_cache()
                continue
            for place, index in enumerate(part):
                first = len(prompts[index].ids) - 1
                found[index] = scores[place, first : first + len(answers[index])].tolist()
            start += len(part)
        return found

    def close(self) -> None:
        """Free the model's memory."""
        self._base = self._model = self._peft = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _use(self, adapter: AdapterFolder | None) -> None:
        """Put this adapter, and no other, over the base; prove that it changes the answers."""
        wanted = adapter.key if adapter else None
        if wanted == self._adapter:
            return
        if self._peft is not None:
            self._base = self._model = self._peft.unload()
            self._peft, self._adapter = None, None
        if adapter is None:
            return
        from peft import PeftModel  # noqa: PLC0415

        check_fits(Adapter.load(adapter.path), self._base, f"Checkpoint {adapter.key[:12]}")
        bare = self._canary()
        self._peft = PeftModel.from_pretrained(self._base, str(adapter.path), adapter_name="checkpoint")
        self._peft.eval()
        self._model = self._peft.get_base_model()
        if bool((self._canary() == bare).all()):
            raise BudgetctlError(
                f"Checkpoint {adapter.key[:12]} does not change the base's answers at all: its adapter is empty or was "
                "not applied."
            )
        self._adapter = adapter.key

    def _canary(self) -> Tensor:
        ids = torch.arange(CANARY_TOKENS, device=self._device).unsqueeze(0) % self._base.config.vocab_size
        with torch.inference_mode():
            logits: Tensor = self._model(input_ids=ids, use_cache=False).logits
        return logits

    def _fitting(self, rows: Sequence[_Row], decoding: Decoding) -> int:
        """Most rows whose key-value cache fits, from the model's shape and the memory there is."""
        if not rows:
            return 1
        config: Any = self._base.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        per_token = 2 * config.num_hidden_layers * heads * width * self._base.dtype.itemsize
        per_row: int = (
            per_token * (len(rows[0].prompt.ids) + decoding.max_new_tokens) + 16 * config.vocab_size
        )
        free = CPU_CACHE_BYTES
        if self._device.type == "cuda":
            free = int(torch.cuda.mem_get_info(self._device)[0] * GPU_CACHE_SHARE)
        return max(1, min(LARGEST_BATCH[self._device.type], free // per_row))

    def _scorable(self, width: int) -> int:
        """Most texts of `width` tokens whose logits fit twice over: as they come, and as float32."""
        free = CPU_CACHE_BYTES
        if self._device.type == "cuda":
            free = int(torch.cuda.mem_get_info(self._device)[0] * GPU_CACHE_SHARE)
        vocabulary: int = self._base.config.get_text_config().vocab_size
        return max(1, free // (width * vocabulary * 12))

    @torch.inference_mode()
    def _score(self, texts: Sequence[tuple[int, ...]]) -> Tensor:
        """Log-probability of every token but the first, (texts, width − 1), on the CPU; texts longest first."""
        width = len(texts[0])
        ids = torch.zeros((len(texts), width), dtype=torch.long)
        mask = torch.zeros((len(texts), width), dtype=torch.long)
        for place, text in enumerate(texts):
            ids[place, : len(text)] = torch.tensor(text)
            mask[place, : len(text)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        chosen = logits.gather(-1, ids[:, 1:, None]).squeeze(-1)
        scores: Tensor = (chosen - logits.logsumexp(-1)).cpu()
        return scores

    @torch.inference_mode()
    def _answer(self, rows: list[_Row], decoding: Decoding, stop_ids: frozenset[int]) -> list[Answer]:
        from transformers import DynamicCache  # noqa: PLC0415

        width = max(len(row.prompt.ids) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, width - len(row.prompt.ids) :] = torch.tensor(row.prompt.ids)
            mask[place, width - len(row.prompt.ids) :] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._base.config)
        active, answers = list(rows), list[Answer]()
        while active:
            output = self._model(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
                logits_to_keep=1,
            )  # fmt: skip
            uniforms = torch.tensor(
                [row.uniforms[len(row.tokens)] if decoding.temperature else 0.0 for row in active]
            )
            chosen, scores = next_tokens(output.logits[:, -1].float(), decoding, uniforms.to(self._device))
            kept = []
            for place, (row, token, score) in enumerate(
                zip(active, chosen.tolist(), scores.tolist(), strict=True)
            ):
                row.tokens.append(token)
                row.logprob += score
                if token in stop_ids or len(row.tokens) >= row.limit:
                    answers.append(_finished(row, token in stop_ids))
                else:
                    kept.append(place)
            if len(kept) < len(active):
                active = [active[place] for place in kept]
                keep = torch.tensor(kept, dtype=torch.long, device=self._device)
                chosen, mask, positions = chosen[keep], mask[keep], positions[keep]
                cache.batch_select_indices(keep)
            ids = chosen.unsqueeze(-1)
            mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
            positions = positions[:, -1:] + 1
        return answers


def _load(base: Path, device: torch.device, precision: Precision) -> LoadedBase:
    try:
        return load_base(base, device, precision)
    except torch.cuda.OutOfMemoryError as error:
        gpu = physical_gpu(str(device))
        memory = gpu_memory(gpu)
        left = f"{memory.free:.0f} of {memory.total:.0f} MiB free" if memory else "too little memory free"
        raise BudgetctlError(
            f"GPU {gpu} has {left}, not enough for the model. It is held by (pid, program, MiB): "
            f"{gpu_holders(gpu) or 'processes this machine does not show'}."
        ) from error


def _finished(row: _Row, stopped: bool) -> Answer:
    return Answer(
        row.prompt.prompt_id, row.sample, tuple(row.tokens), "stop" if stopped else "length", row.logprob
    )
