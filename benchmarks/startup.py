"""Start-up times: `budgetctl --help`, a cache hit, and a complete re-run, beside a bare interpreter.

python benchmarks/startup.py [RUNS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUDGETCTL = str(Path(sys.executable).with_name("budgetctl"))


def seconds(command: list[str], folder: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "python -c ''": [sys.executable, "-c", ""],
            "budgetctl --help": [BUDGETCTL, "--help"],
            "budgetctl sft --help": [BUDGETCTL, "sft", "--help"],
            "budgetctl data (hit)": [BUDGETCTL, "data", "arith", "--size", "64"],
            "budgetctl base (hit)": [BUDGETCTL, "base", "tiny", "--set", "steps=2"],
        }
        for command in commands.values():
            seconds(command, folder)
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                taken[name].append(seconds(command, folder))
    print("| command | median s | min | max |\n|---|--:|--:|--:|")
    for name, times in taken.items():
        print(f"| `{name}` | {statistics.median(times):.3f} | {min(times):.3f} | {max(times):.3f} |")


if __name__ == "__main__":
    main()
