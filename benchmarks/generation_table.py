"""The figures of benchmarks/gpu_generation.py in short, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def table(results: dict[str, Any]) -> Iterator[str]:
    """The results in short, as Markdown."""
    yield "| what | figure |"
    yield "|---|--:|"
    for phase in ("gsm8k", "ifeval"):
        if phase not in results:
            continue
        r = results[phase]
        what = f"{phase}: {r['checkpoints']} checkpoints × {r['prompts']} prompts"
        yield f"| {what}, one engine | {r['one_engine_s']:.1f} s |"
        told = f"{r['engine_start_s']:.1f} s, {r['first_s']:.1f} s, {r['rest_s']:.1f} s"
        yield f"| … of it the start, the first checkpoint's answers, those of all others | {told} |"
        rest = r["rest_s"] / max(1, r["checkpoints"] - 1)
        told = f"{rest:.2f} s, {r['rest_tokens_per_s']:,.0f}"
        yield f"| … each of the others, tokens/s ({r['mean_tokens']:.0f} tokens an answer) | {told} |"
        alone = ", ".join(f"{one:.1f}" for one in r["alone_s"])
        yield f"| a checkpoint alone in the same engine | {alone} s |"
        each = ", ".join(f"{one['wall_s']:.1f}" for one in r["fresh"])
        yield f"| an engine per checkpoint, {r['start_per_checkpoint_measured']} measured | {each} s |"
        whole = r["start_per_checkpoint_measured"] == r["checkpoints"]
        how = "measured" if whole else f"mean × {r['checkpoints']}, extrapolated"
        yield f"| … for all ({how}) | {r['start_per_checkpoint_s']:.0f} s |"
        yield f"| … ratio | {r['ratio']:.2f} |"
        for one in r.get("first_start", ()):
            told = f"{one['wall_s']:.1f} s, {one['start_s']:.1f} s, {one['generate_s']:.1f} s"
            yield f"| the machine's first engine for one checkpoint: whole, its start, generation | {told} |"
        same = ", ".join(f"{100 * one['identical']:.1f} %" for one in r["fresh_identical"])
        yield f"| … answers identical to the one engine's | {same} |"
    for task in ("gsm8k", "ifeval"):
        for one in results.get("plain", {}).get(task, ()):
            told = (
                f"{one['wall_s']:.1f} s, {one['import_s'] + one['start_s']:.1f} s, {one['generate_s']:.1f} s"
            )
            yield f"| {task}, vLLM's defaults in a process for one checkpoint: whole, start, generation | {told} |"
            if task in results:
                ratio = one["wall_s"] * results[task]["checkpoints"] / results[task]["one_engine_s"]
                yield f"| … for all (extrapolated), ratio to the one engine | {ratio:.2f} |"
    if "gsm8k" in results:
        scores = [one["strict"] for one in results["gsm8k"]["scores"]]
        yield f"| gsm8k strict, {len(scores)} checkpoints | {min(scores):.4f} to {max(scores):.4f} |"
    if "ifeval" in results:
        s = results["ifeval"]["scores_of_the_first"]
        told = f"{s['prompt_strict']:.3f} ({s['prompt_strict_low']:.3f} to {s['prompt_strict_high']:.3f})"
        yield f"| ifeval prompt-level strict, first checkpoint | {told} |"
    if "compare" in results:
        for name in ("base", "first checkpoint"):
            r = results["compare"][name]
            share = f"{100 * r['identical']:.1f} % ({100 * r['low']:.1f} to {100 * r['high']:.1f}) of {r['answers']}"
            yield f"| {name}: greedy answers identical, vLLM and Transformers | {share} |"
            s = r["strict"]
            gap = f"{s['left']:.4f}, {s['right']:.4f}; {s['difference']:+.4f} ({s['low']:+.4f} to {s['high']:+.4f})"
            yield f"| … strict score of both, difference | {gap} |"
            rates = r["tokens_per_s"]
            yield f"| … tokens/s of both | {rates['vllm']:,.0f}, {rates['transformers']:,.0f} |"
        for name, p in results["compare"]["perplexity"].items():
            if "ratio" in p:
                told = f"{p['ratio']:.4f} ({p['low']:.4f} to {p['high']:.4f})"
            else:
                interval = f"{p['perplexity_low']:.4f} to {p['perplexity_high']:.4f}"
                told = f"{p['perplexity']:.4f} ({interval}), {p['score_s']} s"
            yield f"| perplexity, {name} | {told} |"
