"""vLLM as its own documentation uses it: start, answer every prompt under one adapter, end.

    python benchmarks/plain_vllm.py JOB.json

JOB.json: model, adapter, prompts (lists of token ids), max_tokens, stop_token_ids, dtype, max_model_len, max_lora_rank.
Prints one line of JSON: seconds of the import, of the start and of the generation, and the new tokens.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    began = time.monotonic()
    from vllm import LLM, SamplingParams  # noqa: PLC0415
    from vllm.lora.request import LoRARequest  # noqa: PLC0415

    imported = time.monotonic()
    model = LLM(
        model=job["model"], dtype=job["dtype"], max_model_len=job["max_model_len"], enable_lora=True,
        max_lora_rank=job["max_lora_rank"], gpu_memory_utilization=0.9,
    )  # fmt: skip
    started = time.monotonic()
    sampling = SamplingParams(
        temperature=0, max_tokens=job["max_tokens"], stop_token_ids=job["stop_token_ids"]
    )
    prompts = [{"prompt_token_ids": ids} for ids in job["prompts"]]
    outputs = model.generate(prompts, sampling, lora_request=LoRARequest("adapter", 1, job["adapter"]))
    found = {
        "import_s": imported - began,
        "start_s": started - imported,
        "generate_s": time.monotonic() - started,
        "tokens": sum(len(output.outputs[0].token_ids) for output in outputs),
    }
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    main()
