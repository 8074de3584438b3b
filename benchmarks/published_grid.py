"""The study's whole grid over datasets of the published sizes: what each cell buys, as Markdown.

    python benchmarks/published_grid.py [--overlap disjoint]

Makes rows in the hub's layout and columns (29,980 demonstrations, 19,890 pairs over a part of their prompts, 541 test
prompts) and asks `budgetctl data plan` for every cell of budgets 100 to 20,000 and shares 1 to 0.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BUDGETS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
SHARES = (1, 0.75, 0.5, 0.25, 0.1, 0.01, 0)


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def make(root: Path) -> None:
    """Write the three datasets as they lie on the hub."""
    sft = [
        {"id": f"personas_IF_{n}", "prompt": f"Task {n}.", "messages": turns(f"Task {n}.", f"Done {n}."),
         "constraints": ["c"]}
        for n in range(29_980)
    ]  # fmt: skip
    pairs = [
        {"id": f"personas_IF_{n}", "prompt": f"Task {n}.", "constraints": ["c"],
         "chosen": turns(f"Task {n}.", f"Well {n}."), "rejected": turns(f"Task {n}.", f"Badly {n}."),
         "chosen_model": "a", "rejected_model": "b"}
        for n in range(19_890)
    ]  # fmt: skip
    tests = [
        {"key": n, "prompt": f"Check {n}.", "instruction_id_list": ["punctuation:no_comma"],
         "kwargs": [{"num_words": None}]}
        for n in range(541)
    ]  # fmt: skip
    for name, rows in (
        ("tulu-3-sft-personas-instruction-following", sft),
        ("tulu-3-pref-personas-instruction-following", pairs),
        ("IFEval", tests),
    ):
        path = root / name / "data" / "train-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), path)


def cells(root: Path, overlap: str) -> tuple[list[dict[str, str]], float]:
    """What `data plan` says of every cell, and how long it took."""
    recipe = {
        "name": "published", "base": "tiny", "task": "tuluif", "budgets": BUDGETS, "shares": SHARES,
        "data": {"path": str(root / "hub"), "overlap": overlap},
    }  # fmt: skip
    (root / "recipe.yaml").write_text(json.dumps(recipe))
    words = ["data", "plan", "--grid", str(root / "recipe.yaml"), "--csv", "--store", str(root / "artifacts")]
    started = time.monotonic()
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "budgetctl", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return list(csv.DictReader(shown.stdout.splitlines())), time.monotonic() - started


def table(rows: list[dict[str, str]]) -> str:
    """Budgets by shares; what is left over stands in brackets where there is anything."""
    lines = [
        "| budget |" + "".join(f" share {share:g} |" for share in SHARES),
        "|--:|" + "--:|" * len(SHARES),
    ]
    for budget in BUDGETS:
        found = [row for row in rows if float(row["budget"]) == budget]
        texts = [cell(row) for row in found]
        lines.append(f"| {budget:,} |" + "".join(f" {text} |" for text in texts))
    return "\n".join(lines)


def cell(row: dict[str, str]) -> str:
    """`n_sft + n_pft`, and what is left over."""
    if row["refused"]:
        return "cannot be had"
    left = f" ({row['left_over']} over)" if float(row["left_over"]) else ""
    return f"{int(row['n_sft']):,} + {int(row['n_pft']):,}{left}"


def main() -> None:
    """Print the table and the sentences of the cells that cannot be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--overlap", choices=("shared", "disjoint"), default="shared")
    overlap = parser.parse_args().overlap
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "hub")
        rows, seconds = cells(Path(folder), overlap)
    print(table(rows))
    print()
    for row in rows:
        if row["refused"]:
            print(f"- {float(row['budget']):,.0f} at share {float(row['share']):g}: {row['refused']}")
    print(f"\n{len(rows)} cells in {seconds:.1f} s")


if __name__ == "__main__":
    main()
