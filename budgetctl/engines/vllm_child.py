"""The process that holds vLLM. Run as a file: it imports vLLM and the standard library, nothing of this package.

Requests come as JSON lines on stdin, replies go as JSON lines to the file descriptor named on the command line;
stdout and stderr are vLLM's to write to and end in a log. The process leaves, with its whole group, when stdin
closes, which the kernel does for a parent that dies in any way.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from collections import deque
from queue import Queue
from typing import IO, Any

SEND_EVERY = 32
REFILL_PART = 4
"""One over the share of rows that are free before new prompts fill them."""


def main() -> None:
    """Serve requests until told to close."""
    options = json.loads(sys.argv[1])
    replies = os.fdopen(int(sys.argv[2]), "w", encoding="utf-8")
    requests: Queue[dict[str, Any]] = Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    from vllm import LLM  # noqa: PLC0415  (the parent's death must be noticed during these seconds, too)

    model = LLM(**options)
    gc.collect()
    gc.freeze()  # what the engine itself consists of never becomes garbage; looking at it again costs every step
    refusals = _refusals()
    _reply(replies, {"ready": True})
    while True:
        request = requests.get()
        if request["do"] == "close":
            os._exit(0)
        try:
            {"generate": _generate, "logprobs": _logprobs}[request["do"]](model, request, replies)
        except RefusedError as error:
            _reply(replies, {"error": str(error), "intact": True})
        except refusals as error:  # out of a step, after which vLLM still counts the request as unfinished
            _reply(replies, {"error": f"{type(error).__name__}: {error}"})


class RefusedError(Exception):
    """A request that vLLM did not take, and of which nothing is left in its queue."""


def _refusals() -> tuple[type[Exception], ...]:
    """What vLLM raises for a request that it does not take: plain errors in 0.26, errors of its own in 0.32."""
    try:
        from vllm.exceptions import VLLMClientError  # noqa: PLC0415
    except ImportError:
        return ValueError, TypeError
    return ValueError, TypeError, VLLMClientError


def _read(requests: Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _reply(replies: IO[str], content: dict[str, Any]) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()


def _lora(request: dict[str, Any]) -> Any:
    from vllm.lora.request import LoRARequest  # noqa: PLC0415

    adapter = request["adapter"]
    return LoRARequest(adapter["key"], adapter["number"], adapter["path"]) if adapter else None


def _generate(model: Any, request: dict[str, Any], replies: IO[str]) -> None:
    """Answer every prompt; finished answers are sent as they come, in no order."""
    engine = model.llm_engine
    rows = engine.vllm_config.scheduler_config.max_num_seqs
    waiting = deque(enumerate(request["asked"]))
    unfinished = 0
    finished: list[dict[str, Any]] = []
    while waiting or unfinished:
        wave = refill(rows, unfinished, len(waiting))
        if wave:
            try:
                _add(engine, request, [waiting.popleft() for _ in range(wave)])
            except RefusedError:
                _reply(replies, {"answers": finished})
                raise
            unfinished += wave
        for output in engine.step():
            if not output.finished:
                continue
            answer = output.outputs[0]
            finished.append({
                "place": int(output.request_id), "ids": list(answer.token_ids), "reason": answer.finish_reason,
                "logprob": answer.cumulative_logprob,
            })  # fmt: skip
            unfinished -= 1
        if len(finished) >= SEND_EVERY:
            _reply(replies, {"answers": finished})
            finished = []
    _reply(replies, {"answers": finished, "done": True})


def refill(rows: int, unfinished: int, waiting: int) -> int:
    """How many more prompts to hand to the engine now.

    A step that mixes new prompts with running answers has no CUDA graph and takes several times as long as one of
    answers alone (docs/results/generation.md), and vLLM would fill each row as soon as it is free: with more prompts
    than rows, nearly every step would be such a one. So rows are filled again a quarter at a time.

    Args:
        rows: Answers that the engine makes at once.
        unfinished: Those it is making.
        waiting: Prompts not handed over yet.
    """
    free = rows - unfinished
    return min(free, waiting) if free >= min(rows // REFILL_PART, waiting) else 0


def _add(engine: Any, request: dict[str, Any], asked: list[tuple[int, Any]]) -> None:
    """Hand prompts over.

    Raises:
        RefusedError: vLLM does not take one; nothing of this request is left in its queue.
    """
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.inputs import TokensPrompt  # noqa: PLC0415
    from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

    lora, decoding = _lora(request), request["decoding"]
    greedy = decoding["temperature"] == 0
    try:
        for place, (number, _, seed) in asked:
            prompt = request["prompts"][number]
            sampling = SamplingParams(
                temperature=decoding["temperature"], top_p=decoding["top_p"], top_k=decoding["top_k"] or -1,
                max_tokens=prompt["limit"], seed=None if greedy else seed, logprobs=0, flat_logprobs=True,
                detokenize=False, stop_token_ids=request["stop_ids"], ignore_eos=True,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )  # fmt: skip
            tokens = TokensPrompt(prompt_token_ids=prompt["ids"])
            engine.add_request(str(place), tokens, sampling, lora_request=lora)
    except _refusals() as error:
        # left in the queue, they would answer under the next request's numbers
        engine.abort_request([str(place) for place in range(len(request["asked"]))])
        raise RefusedError(f"{type(error).__name__}: {error}") from error


def _logprobs(model: Any, request: dict[str, Any], replies: IO[str]) -> None:
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.inputs import TokensPrompt  # noqa: PLC0415

    sampling = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
    scores = []
    for text in request[
        "texts"
    ]:  # one by one: vLLM 0.32 on the CPU mixes up rows of several texts under LoRA
        prompt = TokensPrompt(prompt_token_ids=text["ids"])
        (output,) = model.generate([prompt], sampling, lora_request=_lora(request), use_tqdm=False)
        places = range(text["first"], len(text["ids"]))
        scores.append([output.prompt_logprobs[place][text["ids"][place]].logprob for place in places])
    _reply(replies, {"scores": scores, "done": True})


if __name__ == "__main__":
    main()
