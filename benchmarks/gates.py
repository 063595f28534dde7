"""How often the gate is wrong: real cells that were held out, and cells that are wrong in a known way.

Untreated blood cells of eight donors (Kang 2018, 1,287 genes). A context is a cell type of a donor. Of each some cells
are real, half as many others stand for generated ones; they are held-out real cells, or such cells spoiled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse as sp

from benchmarks.report import DATA, Figures, main, table
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.gate import judge_cells
from lingshu_core.spoiled_cells import at_half_depth, without_state, without_ties

FILE = "kang2018_control_8donors_1287.h5ad"
SIZES = (40, 100, 400)
TRIALS, TRIALS_OF_WRONG = 120, 15
VERDICTS = ("pass", "warn", "fail", "undecided")

Spoil = Callable[[sp.csr_matrix, np.random.Generator], sp.csr_matrix]
SPOILED: Mapping[str, Spoil] = {
    "genes under other names": lambda cells, random: cells[:, random.permutation(cells.shape[1])],
    "each gene exchanged among the cells": without_ties,
    "half the depth": at_half_depth,
    "drawn from the mean profile": without_state,
    "one cell again and again": lambda cells, random: cells[np.zeros(cells.shape[0], dtype=np.int64)],
}


def measure() -> Figures:
    """Judge everything; how often each verdict came."""
    cells = read_cells(CellSource(str(DATA / FILE), {"cell_type": "cell_type", "donor": "donor"}))
    contexts, figures = _contexts(cells), {}
    for size in SIZES:
        rows = []
        for name, trials, make in _makers(contexts):
            found = Counter(_verdict(contexts, size, trial, make) for trial in range(trials))
            rows.append([name, size, trials, *(found[verdict] for verdict in VERDICTS)])
            figures[f"{name}, {size}"] = dict(found)
        table(["generated cells", "real cells", "trials", *VERDICTS], rows)
    return figures


Contexts = Mapping[str, sp.csr_matrix]
Make = Callable[[str, sp.csr_matrix, np.random.Generator], sp.csr_matrix]


def _contexts(cells: Cells) -> Contexts:
    labels = cells.obs["cell_type"] + ", " + cells.obs["donor"]
    return {name: cells.counts[np.flatnonzero(labels == name)] for name in sorted(set(labels))}


def _makers(contexts: Contexts) -> list[tuple[str, int, Make]]:
    def of_another_type(name: str, held_out: sp.csr_matrix, random: np.random.Generator) -> sp.csr_matrix:
        same = name.partition(", ")[0]
        others = [own for other, own in contexts.items() if not other.startswith(same) and own.shape[0] >= 100]
        return others[random.integers(len(others))]

    spoiled = [
        (name, TRIALS_OF_WRONG, lambda _, held, random, spoil=spoil: spoil(held, random))
        for name, spoil in SPOILED.items()
    ]
    return [
        ("held-out real cells", TRIALS, lambda _, held, random: held),
        ("real cells of another cell type", TRIALS_OF_WRONG, of_another_type),
        *spoiled,
    ]


def _verdict(contexts: Contexts, size: int, trial: int, make: Make) -> str:
    large = [name for name, own in contexts.items() if own.shape[0] >= size + size // 2]
    name, random = large[trial % len(large)], np.random.default_rng(trial)
    own = contexts[name][random.permutation(contexts[name].shape[0])]
    others = [cells for other, cells in contexts.items() if other != name]
    generated = make(name, own[size : size + size // 2], random)
    return judge_cells(generated, own[:size], others, seed=trial).verdict


if __name__ == "__main__":
    main(measure, __doc__ or "")
