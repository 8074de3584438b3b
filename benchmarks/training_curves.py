"""Draw the losses that benchmarks/gpu_training.py kept: `python benchmarks/training_curves.py FOLDER PICTURE`.

FOLDER holds `curves-PHASE.json` (name of a training → its losses). One panel for each model and method; trainings of
one panel lie over each other, so that several processes, or a killed run, can be held against an undisturbed one.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")


def panels(folder: Path) -> dict[str, dict[str, list[float]]]:
    """`model, method` → what else a training's name says → its losses."""
    found: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for file in sorted(folder.glob("curves-*.json")):
        for name, losses in json.loads(file.read_text("utf-8")).items():
            model, method, *rest = name.split(", ", 2)
            found[f"{model}, {method}"][rest[0] if rest else "alone"] = losses
    return found


def draw(found: dict[str, dict[str, list[float]]], picture: Path) -> None:
    figure = Figure(figsize=(4 * len(found), 3.2), layout="constrained")
    for axes, (title, curves) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        for style, (name, losses) in zip(STYLES, curves.items(), strict=False):
            axes.plot(range(1, len(losses) + 1), losses, style, linewidth=1.2, label=name)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss")
        axes.legend(fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    draw(panels(Path(sys.argv[1])), Path(sys.argv[2]))
