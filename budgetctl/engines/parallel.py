"""Several engines as one: each has the whole model on a GPU of its own and answers a share of the prompts."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from queue import Queue

from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, ProcessEngine, Prompt


class ParallelEngine:
    """Deals prompts to engines that work at the same time; see `engines.protocol.Engine`.

    Sampling is the same in each, and an answer's random numbers follow from its prompt and sample alone, so the
    number of engines changes no answer of the Transformers engine, and none of vLLM's beyond what its batches do.
    """

    def __init__(self, engines: Sequence[ProcessEngine]) -> None:
        self._engines = tuple(engines)

    @property
    def size(self) -> int:
        """How many engines these are."""
        return len(self._engines)

    def parts(self, count: int) -> list[ParallelEngine]:
        """Deal the engines to `count` users, at most one for each; who has a part does not close it."""
        return [ParallelEngine(self._engines[number::count]) for number in range(count)]

    @property
    def start_s(self) -> float:
        """Seconds of the slowest's starts; they start side by side."""
        return max(engine.start_s for engine in self._engines)

    def generate(
        self,
        prompts: Sequence[Prompt],
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
        done: frozenset[tuple[str, int]] = frozenset(),
    ) -> Generator[list[Answer]]:
        """Yield finished answers of all engines as they come; an error of one ends the others."""
        replies: Queue[list[Answer] | BaseException | None] = Queue()
        given_up = threading.Event()

        def work(engine: ProcessEngine, share: list[Prompt]) -> None:
            try:
                with closing(engine.generate(share, decoding, stop_ids, adapter, done)) as batches:
                    for batch in batches:
                        if given_up.is_set():
                            break
                        replies.put(batch)
            except BaseException as error:
                replies.put(error)
            else:
                replies.put(None)

        threads = [
            threading.Thread(target=work, args=(engine, share))
            for engine, share in zip(self._engines, self._dealt(prompts), strict=True)
            if share
        ]
        for thread in threads:
            thread.start()
        try:
            working = len(threads)
            while working:
                reply = replies.get()
                if isinstance(reply, BaseException):
                    raise reply
                if reply is None:
                    working -= 1
                else:
                    yield reply
        finally:
            given_up.set()
            for thread in threads:
                thread.join()

    def logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        """Return each answer token's log-probability after its prompt, in the order given."""
        count = len(self._engines)
        found: list[list[list[float]] | BaseException] = [[] for _ in self._engines]

        def work(number: int) -> None:
            try:
                found[number] = self._engines[number].logprobs(
                    prompts[number::count], answers[number::count], adapter
                )
            except BaseException as error:
                found[number] = error

        threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        scores: list[list[float]] = [[] for _ in prompts]
        for number, part in enumerate(found):
            if isinstance(part, BaseException):
                raise part
            scores[number::count] = part
        return scores

    def abandon(self) -> None:
        """Kill their processes, from any thread, so that whoever waits for answers is interrupted."""
        for engine in self._engines:
            engine.abandon()

    def close(self) -> None:
        """Free the memory of all, side by side."""
        threads = [threading.Thread(target=engine.close) for engine in self._engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _dealt(self, prompts: Sequence[Prompt]) -> list[list[Prompt]]:
        """Shares of about equal length: in turn, by length, since long prompts come with long work."""
        ordered = sorted(prompts, key=lambda prompt: -len(prompt.ids))
        return [ordered[number :: len(self._engines)] for number in range(len(self._engines))]
