"""What a training saves when another one has tokenised the same rows: GSM8K's demonstrations, processor time.

    python benchmarks/kept_tokens.py --base FOLDER --gsm8k FOLDER

The base is a Transformers folder; only its tokenizer is used.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from budgetctl.data.pool import load_pool
from budgetctl.data.prepare import write_rows
from budgetctl.data.sources import Gsm8kFiles
from budgetctl.models.encoding import Encoder
from budgetctl.models.folders import template_name_for
from budgetctl.models.loading import load_tokenizer
from budgetctl.models.templates import Template
from budgetctl.tasks import task_named
from budgetctl.training.rows import DemonstrationRow, Limits, read_demonstrations


def cpu_seconds(
    work: Callable[[], list[DemonstrationRow]], runs: int
) -> tuple[list[float], list[DemonstrationRow]]:
    """Processor seconds of each run, and what the last one gave."""
    found, rows = [], []
    for _ in range(runs):
        started = time.process_time()
        rows = work()
        found.append(time.process_time() - started)
    return found, rows


def main() -> None:
    """Print both times, their ratio, and the size of what is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--gsm8k", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    encoder = Encoder(load_tokenizer(given.base), Template.named(template_name_for(given.base)))
    source, located = Gsm8kFiles.at(given.gsm8k)
    pool = load_pool(source, "sft", "train", located)
    with tempfile.TemporaryDirectory() as folder:
        prompt = task_named("gsm8k").system_prompt
        file = write_rows(Path(folder), pool, range(len(pool)), "sft", prompt)
        kept, limits = Path(folder) / "tokens.parquet", Limits(4096, 4096, False)
        read_demonstrations(file, encoder, limits, False, kept)
        made, fresh = cpu_seconds(lambda: read_demonstrations(file, encoder, limits, False), given.runs)
        reused, again = cpu_seconds(
            lambda: read_demonstrations(file, encoder, limits, False, kept), given.runs
        )
        size = kept.stat().st_size / 1e6
    assert fresh == again
    left, right = statistics.median(made), statistics.median(reused)
    tokens = sum(len(row.text.ids) for row in fresh)
    print(
        f"{len(fresh)} rows, {tokens} tokens, {size:.1f} MB kept; {given.runs} runs each, CPU seconds, median (range)"
    )
    for name, times in (("tokenised", made), ("read", reused)):
        print(f"{name}: {statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})")
    print(f"ratio {left / right:.1f}")


if __name__ == "__main__":
    main()
