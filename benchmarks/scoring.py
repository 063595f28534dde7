"""Differential expression of a screen: ours beside pdex, and beside the same step of cell-eval2.

50 perturbations × 100 cells and 1,000 controls × 18,000 genes, drawn so that 30 % of the entries are not zero: depths
vary from cell to cell, and each perturbation changes a twentieth of the genes. Three questions, both sides from the
same matrix in memory, one thread each:

- `log1p`: tests of log1p counts per 10k, which is what cell-eval gives to pdex (the figure `de_speedup`);
- `counts`: tests of raw counts, where ours needs no sorting;
- `cell_eval2`: from raw counts to tests of log1p counts per million, the step that cell-eval2 takes before it scores.

Medians of the wall time of 5 runs of theirs, each between two of ours. Compilation is not counted: a first run of both
sides is for the comparison of what they find. A call is a gene with a false discovery rate below 0.05.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import scipy.sparse as sp
from cell_eval2.de_compute import compute_de
from pdex import pdex

from benchmarks.report import Figures, main, table
from lingshu_core.differential_expression import DifferentialExpression, differential_expression

PERTURBATIONS, CELLS, CONTROLS, GENES = 50, 100, 1_000, 18_000
CONTROL = "control"
REPETITIONS = 5


@dataclass(frozen=True)
class Screen:
    """Cells drawn for the comparison: counts, (cells, genes), and the label of each cell."""

    counts: sp.csr_matrix
    labels: npt.NDArray[np.str_]

    @property
    def genes(self) -> list[str]:
        """Names."""
        return [f"GENE{i}" for i in range(self.counts.shape[1])]

    def table(self, values: sp.csr_matrix) -> anndata.AnnData:
        """Return some values of the cells as the others want them."""
        obs = pd.DataFrame({"target": self.labels}, index=[f"cell{i}" for i in range(len(self.labels))])
        return anndata.AnnData(values, obs=obs, var=pd.DataFrame(index=self.genes))


@dataclass(frozen=True)
class Question:
    """What ours and theirs compute from the same input, and their column of false discovery rates."""

    name: str
    ours: Callable[[], DifferentialExpression]
    theirs: Callable[[], pl.DataFrame]
    rates: str = "fdr"


def measure() -> Figures:
    """Compare all three; all figures."""
    screen = draw_screen()
    density = float(screen.counts.nnz / np.prod(screen.counts.shape))
    print(f"{screen.counts.shape[0]} cells × {GENES} genes, {density:.1%} of the entries not zero\n")
    figures = {"density": density}
    rows = []
    for question in questions(screen):
        found = _compare(question)
        figures |= {f"{question.name}_{name}": value for name, value in found.items()}
        rows.append([question.name, *found.values()])
        names = [name.replace("_", " ") for name in found]
    table(["question", *names], rows)
    return {"de_speedup": figures["log1p_speedup"], **figures}


def draw_screen(seed: int = 0) -> Screen:
    """Draw negative binomial counts."""
    rng = np.random.default_rng(seed)
    sizes = {CONTROL: CONTROLS} | {f"P{i:02d}": CELLS for i in range(PERTURBATIONS)}
    base = np.exp(rng.normal(-1.37, 1.6, GENES))
    counts = []
    for label, cells in sizes.items():
        means = base * (1.0 if label == CONTROL else _changes(rng))
        depths = np.exp(rng.normal(0.0, 0.35, (cells, 1)))
        drawn = rng.poisson(depths * means * rng.gamma(2.0, 0.5, (cells, GENES)))
        counts.append(sp.csr_matrix(drawn.astype(np.int32)))
    return Screen(sp.csr_matrix(sp.vstack(counts)), np.repeat(list(sizes), list(sizes.values())))


def _changes(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    changes = np.ones(GENES)
    changes[rng.choice(GENES, GENES // 20, replace=False)] = np.exp(rng.normal(0.0, 0.7, GENES // 20))
    return changes


def normalised(counts: sp.csr_matrix, depth: float) -> sp.csr_matrix:
    """Return log1p of counts scaled to a depth, in the order of operations of the others: ties depend on it."""
    scaled = counts.astype(float)
    totals = np.asarray(scaled.sum(axis=1)).ravel()
    scaled.data /= np.repeat(totals / depth, np.diff(scaled.indptr))
    np.log1p(scaled.data, out=scaled.data)
    return scaled


def questions(screen: Screen) -> list[Question]:
    """Return what is compared."""
    logs = normalised(screen.counts, 1e4).astype(np.float32)
    log_table, count_table = screen.table(logs), screen.table(screen.counts.astype(np.float32))
    names: tuple[Any, ...] = (screen.labels, screen.genes, CONTROL)
    same: dict[str, Any] = {"groupby": "target", "reference": CONTROL, "threads": 1, "epsilon": 1e-9}
    per_million: dict[str, Any] = {
        "backend": "pdex",
        "mean_calc": "arithmetic",
        "input_type": "counts",
        "filter_gene_min_cpm_cell": None,
    }
    return [
        Question(
            "log1p",
            lambda: differential_expression(logs, *names, scale="log1p"),
            lambda: pdex(log_table, is_log1p=True, **same),
        ),
        Question(
            "counts",
            lambda: differential_expression(screen.counts, *names, scale="linear"),
            lambda: pdex(count_table, is_log1p=False, **same),
        ),
        Question(
            "cell_eval2",
            lambda: differential_expression(normalised(screen.counts, 1e6), *names, scale="log1p", mean="arithmetic"),
            lambda: compute_de(count_table, **per_million, **same),
            rates="p_adj",
        ),
    ]


def _compare(question: Question) -> dict[str, float]:
    differences = _differences(question)
    ours, theirs = [], []
    for run in range(REPETITIONS):
        ours.append(_seconds(question.ours))
        theirs.append(_seconds(question.theirs))
        ours.append(_seconds(question.ours))
        print(f"{question.name}: {run + 1} of {REPETITIONS}", file=sys.stderr, flush=True)
    seconds, their_seconds = float(np.median(ours)), float(np.median(theirs))
    times = {"seconds": seconds, "their_seconds": their_seconds, "speedup": their_seconds / seconds}
    return times | differences


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _differences(question: Question) -> dict[str, float]:
    """Return how many genes are called, how many by one side only, and the largest relative difference of a p-value."""
    found, reference = question.ours().table(), question.theirs()
    both = found.join(reference.rename({question.rates: "their_rate", "p_value": "their_p"}), on=["target", "feature"])
    if not both.height == found.height == reference.height:
        raise SystemExit(f"{question.name}: {found.height} tests of ours and {reference.height} of theirs don't match")
    calls, their_calls = (both[rates].to_numpy() < 0.05 for rates in ("fdr", "their_rate"))
    p_values, their_p_values = (both[name].to_numpy() for name in ("p_value", "their_p"))
    return {
        "calls": int(calls.sum()),
        "calls_of_one_side": int((calls != their_calls).sum()),
        "largest_p_difference": float(np.max(np.abs(p_values / their_p_values - 1.0))),
    }


if __name__ == "__main__":
    main(measure, __doc__ or "")
