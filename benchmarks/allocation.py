"""Regret, coverage, prices and speed of the allocation model; prints markdown.

BUDGETCTL_TEST_DATA=../shared/data python benchmarks/allocation.py [regret|coverage|next|prices|speed ...]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from analysis_truths import BUDGETS, SHARES, Truth, measure, rows

from budgetctl.analysis.allocation import AllocationModel, Effort
from budgetctl.analysis.next_cells import candidate_cells, recommend_next
from budgetctl.analysis.recommend import recommend
from budgetctl.analysis.results_file import Observation, read_results
from budgetctl.analysis.thumb import thumb_share
from budgetctl.study.budget import Prices

Chooser = Callable[[Sequence[Observation], str, float], float]


def paper_results() -> list[Observation]:
    folder = Path(os.environ.get("BUDGETCTL_TEST_DATA", "../shared/data"))
    return read_results(folder / "paper" / "results_llama3-8B.csv")


def quadratic(train: Sequence[Observation], task: str, budget: float) -> float:
    """Least squares on 1, u, v, u², v², uv with u = log(1 + n_sft), v = log(1 + n_pft), per task."""

    def terms(n_sft: np.ndarray, n_pft: np.ndarray) -> np.ndarray:
        u, v = np.log1p(n_sft), np.log1p(n_pft)
        return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v], axis=-1)

    own = [one for one in train if one.task == task]
    x = terms(np.array([o.n_sft for o in own], float), np.array([o.n_pft for o in own], float))
    fit = np.linalg.lstsq(x, np.array([o.score for o in own]), rcond=None)[0]
    return SHARES[int(np.argmax(terms(*rows(budget, SHARES)) @ fit))]


RULES: dict[str, Chooser] = {
    "always 0.5": lambda train, task, budget: 0.5,
    "always 0.25": lambda train, task, budget: 0.25,
    "SFT-only up to 1,000, else 0.5": lambda train, task, budget: 1.0 if budget <= 1_000 else 0.5,
    "rule of thumb (thumb.py)": lambda train, task, budget: thumb_share(budget, SHARES),
    "quadratic log surface": quadratic,
}


def splits_of(found: Sequence[Observation]) -> dict[str, list[tuple[list[Observation], list[float]]]]:
    budgets = sorted({one.budget for one in found})
    return {
        "leave one budget out": [([o for o in found if o.budget != b], [b]) for b in budgets],
        "fit ≤ 5,000, advise 10,000 and 20,000": [
            ([o for o in found if o.budget <= 5_000], [b for b in budgets if b > 5_000])
        ],
        "fit ≤ 1,000, advise 5,000 to 20,000": [
            ([o for o in found if o.budget <= 1_000], [b for b in budgets if b > 1_000])
        ],
        "fit 100, 1,000, 10,000, advise the rest": [
            ([o for o in found if o.budget in (100, 1_000, 10_000)], [500.0, 5_000.0, 20_000.0])
        ],
        "fit 500, 5,000, 20,000, advise the rest": [
            ([o for o in found if o.budget in (500, 5_000, 20_000)], [100.0, 1_000.0, 10_000.0])
        ],
    }


def regret_section(seeds: int = 5) -> None:
    found = paper_results()
    score = {(o.task, o.budget, o.sft_share): o.score for o in found}
    places = {(task, budget) for task, budget, _ in score}
    best = {place: max(v for (t, b, _), v in score.items() if (t, b) == place) for place in places}
    splits = splits_of(found)
    print("| mean regret | " + " | ".join(splits) + " |")
    print("|---|" + "---:|" * len(splits))
    for name, choose in RULES.items():
        line = []
        for parts in splits.values():
            regrets = [
                best[t, b] - score[t, b, choose(train, t, b)]
                for train, targets in parts
                for t, b in sorted(places)
                if b in targets
            ]
            line.append(f"{np.mean(regrets):.4f}")
        print(f"| {name} | " + " | ".join(line) + " |")
    line, cold, details = [], 0, []
    for title, parts in splits.items():
        per_seed = []
        for seed in range(seeds):
            regrets = []
            for train, targets in parts:
                model = AllocationModel.fit(train, seed=seed)
                for budget in targets:
                    for advice in recommend(train, budget, model=model):
                        if (advice.task, budget) not in places:
                            continue
                        lost = best[advice.task, budget] - score[advice.task, budget, advice.sft_ratio]
                        regrets.append(lost)
                        cold += advice.task == "gsm8k" and advice.sft_ratio == 0
                        if seed == 0:
                            details.append((title, advice.task, budget, advice, lost))
            per_seed.append(float(np.mean(regrets)))
        line.append(f"**{statistics.median(per_seed):.4f}** ({min(per_seed):.4f}–{max(per_seed):.4f})")
    print("| allocation model | " + " | ".join(line) + " |")
    print(f"\nAllocation model: median and range over {seeds} sampler seeds.")
    print(f"Times share 0 was recommended for gsm8k: {cold}.\n")
    print("| split | task | budget | share | regret | expected (90 %) | cannot be told apart | source |")
    print("|---|---|---:|---:|---:|---|---|---|")
    for title, task, budget, a, lost in details:
        if title in list(splits)[:2]:
            others = ", ".join(f"{share:g}" for share in a.alternatives) or "–"
            print(
                f"| {title} | {task} | {budget:,.0f} | {a.sft_ratio:g} | {lost:.3f} "
                f"| {a.expected:.3f} ({a.low:.3f}–{a.high:.3f}) | {others} | {a.source} |"
            )
    print()


def coverage_section(studies: int = 125, tasks: int = 4) -> None:
    targets = {"measured (5,000)": 5_000, "between (2,500)": 2_500, "beyond (40,000)": 40_000}
    hits = {name: 0 for name in targets}
    regrets: dict[str, list[float]] = {name: [] for name in targets}
    ruled: dict[str, list[float]] = {name: [] for name in targets}
    widths: dict[str, list[float]] = {name: [] for name in targets}
    cells = [(budget, share) for budget in BUDGETS for share in SHARES]
    for study in range(studies):
        rng = np.random.default_rng(study)
        truths = {f"task{index}": Truth.draw(rng) for index in range(tasks)}
        found = [one for task, truth in truths.items() for one in measure(truth, task, cells, rng)]
        model = AllocationModel.fit(found, seed=study)
        for name, budget in targets.items():
            for advice in recommend(found, budget, model=model):
                true = truths[advice.task].score(*rows(budget, SHARES))
                reached = true[SHARES.index(advice.sft_ratio)]
                hits[name] += advice.low <= reached <= advice.high
                regrets[name].append(true.max() - reached)
                ruled[name].append(true.max() - true[SHARES.index(0.5 if budget > 1_000 else 1.0)])
                widths[name].append(advice.high - advice.low)
    count = studies * tasks
    print(
        f"| budget | coverage of the 90 % interval, {count} surfaces | median width | mean regret | always 0.5 |"
    )
    print("|---|---:|---:|---:|---:|")
    for name in targets:
        print(
            f"| {name} | {hits[name] / count:.1%} | {statistics.median(widths[name]):.3f} "
            f"| {np.mean(regrets[name]):.4f} | {np.mean(ruled[name]):.4f} |"
        )
    print()


def worth_asking(rng: np.random.Generator, targets: Sequence[float]) -> Truth:
    while True:
        truth = Truth.draw(rng)
        if any(np.ptp(truth.score(*rows(budget, SHARES[:-1]))) >= 0.03 for budget in targets):
            return truth


def next_section(worlds: int = 16, start: int = 3, rounds: int = 8) -> None:
    """Every strategy starts from the same cells and measures one more at a time.

    Worlds in which no share is 0.03 worse than the best at either budget asked about leave nothing to find
    and are drawn again.
    """
    effort = Effort(chains=40, sweeps=40)
    budgets, targets = (100, 500, 1_000, 5_000, 10_000), (2_000, 10_000)
    grid = [(budget, share) for budget in budgets for share in SHARES]
    regret: dict[str, np.ndarray] = {}
    for strategy in ("recommend next", "grid", "random"):
        table = np.zeros((worlds, rounds + 1))
        for world in range(worlds):
            rng = np.random.default_rng(10_000 + world)
            truth = worth_asking(rng, targets)
            first = [grid[i] for i in rng.permutation(len(grid))[:start]]
            order = {"grid": grid, "random": [grid[i] for i in rng.permutation(len(grid))]}
            noise = np.random.default_rng(20_000 + world)
            found = measure(truth, "t", first, noise)
            done = list(first)
            for step in range(rounds + 1):
                model = AllocationModel.fit(found, effort=effort, seed=world)
                lost = []
                for budget in targets:
                    advice = recommend(found, budget, model=model, shares=SHARES)[0]
                    true = truth.score(*rows(budget, SHARES))
                    lost.append(true.max() - true[SHARES.index(advice.sft_ratio)])
                table[world, step] = np.mean(lost)
                left = [cell for cell in grid if cell not in done]
                if strategy == "recommend next":
                    offers = candidate_cells(model.groups, budgets, SHARES)
                    offers = [c for c in offers if (int(c.budget), c.sft_share) in left]
                    asked = candidate_cells(model.groups, targets, SHARES)
                    pick = recommend_next(model, offers, asked, 1, cost=lambda cell: 1.0)[0].cell
                    cell = (int(pick.budget), pick.sft_share)
                else:
                    cell = next(c for c in order[strategy] if c in left)
                done.append(cell)
                found += measure(truth, "t", [cell], noise)
        regret[strategy] = table
    shown = (0, 1, 2, 3, 4, 6, 8)
    print("| mean regret after … more cells | " + " | ".join(map(str, shown)) + " |")
    print("|---|" + "---:|" * len(shown))
    for strategy, table in regret.items():
        mean = table.mean(axis=0)
        print(f"| {strategy} | " + " | ".join(f"{mean[step]:.4f}" for step in shown) + " |")
    best = regret["recommend next"].mean(axis=1)
    for other in ("grid", "random"):
        gap = regret[other].mean(axis=1) - best
        print(
            f"\n{other} minus recommend next, mean over all steps: {gap.mean():.4f} ± "
            f"{gap.std(ddof=1) / np.sqrt(worlds):.4f} (standard error over {worlds} worlds)"
        )
    print()


def prices_section() -> None:
    found = paper_results()
    model = AllocationModel.fit(found)
    fine = [round(i / 20, 2) for i in range(20, 0, -1)]
    print(
        "| task | price of an SFT row (pair = 1) | budget | share of money | SFT rows | pairs | SFT share of rows |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for task in ("tldr", "help", "ifeval", "gsm8k"):
        for price in (1, 4, 10):
            prices = Prices(Fraction(price), Fraction(1), "units")
            (advice,) = recommend(found, 20_000, prices=prices, shares=fine, task=task, model=model)
            part = advice.split.n_sft / advice.split.rows
            print(
                f"| {task} | {price} | 20,000 | {advice.sft_ratio:g} | {advice.split.n_sft:,} "
                f"| {advice.split.n_pft:,} | {part:.2f} |"
            )
    print()


def speed_section(runs: int = 5) -> None:
    """Processor time beside wall time, as the machine may be shared."""
    found = paper_results()
    wall, processor = [], []
    for seed in range(runs):
        start = time.perf_counter(), time.process_time()
        recommend(found, 5_000, seed=seed)
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    for name, times in (("processor time", processor), ("wall time", wall)):
        spread = f"{min(times):.2f}–{max(times):.2f}, {runs} runs"
        print(
            f"Fit and advice on {len(found)} results, {name}: median {statistics.median(times):.2f} s ({spread})."
        )
    print(f"Load of the machine meanwhile: {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores.\n")


SECTIONS: dict[str, Callable[[], None]] = {
    "regret": regret_section,
    "coverage": coverage_section,
    "next": next_section,
    "prices": prices_section,
    "speed": speed_section,
}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or SECTIONS:
        print(f"## {chosen}\n", flush=True)
        SECTIONS[chosen]()
