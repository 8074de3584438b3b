"""An engine in a process of its own: started when it is first needed, started once more when it dies."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from budgetctl.engines.child import Child, ChildDied
from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Prompt, check_lengths, check_texts
from budgetctl.errors import BudgetctlError, InterruptedRunError, UsageError

SILENCE_S = 1800.0
"""How long a request may stay without any reply before its process counts as dead."""

Left = dict[tuple[str, int], Prompt]
"""(prompt, sample) → what is still to be answered."""


class ServedEngine(ABC):
    """What engines in child processes share; see `engines.protocol.Engine`."""

    def __init__(self, name: str, context: int) -> None:
        """Prepare a folder for the process's logs.

        Args:
            name: For the folder and for messages.
            context: Most tokens the model reads, answer included.
        """
        self._name = name
        self._context = context
        self._child: Child | None = None
        self._folder = Path(tempfile.mkdtemp(prefix=f"budgetctl-{name.lower()}-"))
        self._abandoned = False
        self.starts = 0
        self._start_s = 0.0
        atexit.register(self.close)

    @abstractmethod
    def _ready(self, length: int, adapter: AdapterFolder | None) -> Child:
        """Return a process that takes texts of `length` tokens under this adapter."""

    @abstractmethod
    def _adapter_document(self, adapter: AdapterFolder | None) -> dict[str, Any] | None:
        """Say in a request which adapter is meant."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
        done: frozenset[tuple[str, int]] = frozenset(),
    ) -> Generator[list[Answer]]:
        """Yield finished answers as they come. A process that dies is started again once.

        Raises:
            UsageError: A prompt leaves no room for an answer, or the adapter belongs to another base.
            BudgetctlError: The adapter changes nothing, or the process died twice.
            InterruptedRunError: The engine was abandoned meanwhile.
        """
        check_lengths(prompts, self._context)
        left = {
            (prompt.prompt_id, sample): prompt
            for prompt in prompts for sample in range(decoding.samples) if (prompt.prompt_id, sample) not in done
        }  # fmt: skip
        deaths = 0
        while left:
            try:
                longest = max(len(prompt.ids) for prompt in left.values()) + decoding.max_new_tokens
                child = self._ready(longest, adapter)
                self._check_not_abandoned()
                for answers in self._answers(child, left, decoding, stop_ids, adapter):
                    for answer in answers:
                        del left[answer.prompt_id, answer.sample]
                    yield answers
            except ChildDied as error:
                deaths += 1
                self._bury(error, deaths, f"{len(left)} answers to go")

    def logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        """Return each answer token's log-probability after its prompt, in the order given.

        A process that dies is started again once.

        Raises:
            UsageError: An answer does not fit behind its prompt, or the adapter belongs to another base.
            BudgetctlError: The adapter changes nothing, or the process died twice.
            InterruptedRunError: The engine was abandoned meanwhile.
        """
        check_texts(prompts, answers, self._context - 1)  # vLLM always adds a token of its own
        if not prompts:
            return []
        texts: list[dict[str, Any]] = [
            {"ids": [*prompt.ids, *answer], "first": len(prompt.ids)}
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        deaths = 0
        while True:
            try:
                child = self._ready(max(len(text["ids"]) for text in texts) + 1, adapter)
                return self._scores(child, texts, adapter)
            except ChildDied as error:
                deaths += 1
                self._bury(error, deaths, f"{len(texts)} texts to score")

    @property
    def start_s(self) -> float:
        """Seconds spent on all starts so far."""
        return self._start_s

    @property
    def process_id(self) -> int | None:
        """Of the process that holds the model, and of its group; None while there is none."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """End the process and everything it started."""
        atexit.unregister(self.close)
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def abandon(self) -> None:
        """Kill the process, from any thread; whoever waits for its answers is interrupted instead of getting another.

        What remains is to close the engine.
        """
        self._abandoned = True
        child = self._child
        if child is not None:
            child.kill()

    def _check_not_abandoned(self) -> None:
        if self._abandoned:
            raise InterruptedRunError(f"{self._name} was told to stop.")

    def _bury(self, error: ChildDied, deaths: int, left: str) -> None:
        """Clear away a process that died; the second one of a request is the last."""
        self._stop()
        self._check_not_abandoned()
        if deaths > 1:
            raise ChildDied(f"{self._name} died twice with {left}. {error}") from error

    def _answers(
        self,
        child: Child,
        left: Left,
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
    ) -> Generator[list[Answer]]:
        places = list(left)
        texts = {prompt.prompt_id: prompt for prompt in left.values()}
        number = {prompt_id: index for index, prompt_id in enumerate(texts)}
        request = {
            "do": "generate", "decoding": decoding.model_dump(), "stop_ids": list(stop_ids),
            "adapter": self._adapter_document(adapter),
            "prompts": [
                {"id": prompt.prompt_id, "ids": list(prompt.ids),
                 "limit": min(decoding.max_new_tokens, self._context - len(prompt.ids))}
                for prompt in texts.values()
            ],
            "asked": [
                (number[prompt_id], sample, answer_seed(decoding.seed, prompt_id, sample)) for prompt_id, sample in left
            ],
        }  # fmt: skip
        for reply in self._exchange(child, request):
            found = [(places[answer["place"]], answer) for answer in reply["answers"]]
            if found:
                yield [
                    Answer(prompt_id, sample, tuple(answer["ids"]), answer["reason"], answer["logprob"])
                    for (prompt_id, sample), answer in found
                ]

    def _scores(
        self, child: Child, texts: list[dict[str, Any]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        request = {"do": "logprobs", "texts": texts, "adapter": self._adapter_document(adapter)}
        found: list[list[float]] = next(self._exchange(child, request))["scores"]
        return found

    def _exchange(self, child: Child, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        complete = False
        try:
            child.ask(request)
            for reply in child.replies(SILENCE_S):
                complete = bool(reply.get("done") or reply.get("intact"))
                if "error" in reply:
                    kind = UsageError if reply.get("usage") else BudgetctlError
                    raise kind(
                        reply["error"] if reply.get("told") else f"{self._name} refused: {reply['error']}"
                    )
                yield reply
                if complete:
                    return
        finally:
            # Whoever asked may have stopped listening; the rest of the replies would answer another request. And what a
            # failed request has left in the engine could come up in the next.
            if not complete:
                self._stop()

    def _await_start(self, child: Child, patience_s: float) -> None:
        """Wait until a new process says that it is ready, and count the start."""
        began = time.monotonic()
        self.starts += 1
        try:
            next(child.replies(patience_s))
        except ChildDied:
            child.close()
            raise
        self._start_s += time.monotonic() - began

    def _stop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def answer_seed(seed: int, prompt_id: str, sample: int) -> int:
    """A 32-bit seed of one answer: a function of seed, prompt and sample alone."""
    digest = blake2b(f"{seed}\x00{prompt_id}\x00{sample}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
