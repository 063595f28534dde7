"""Predicted cells that somebody hands in, checked before they are scored.

The scores of 2025 were gamed with altered predicted controls, log values beside counts, inflated variance and cells
copied from the answer. So: effects are always measured against *our* control cells, whatever the prediction holds;
what is no raw count, not one scale, far wider than real cells or copied is refused; and every question has to be
answered. The limits stand well outside what real perturbed cells of the sets in `docs/metrics.md` show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.errors import PredictionRefused
from lingshu_core.population_scores import CellGroup
from lingshu_core.splits import Question

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FEWEST_CELLS = 2
MOST_TIMES_DEEPER = 5.0
"""Real perturbed cells: .5 to 3.4 times the median total of their controls."""
MOST_TIMES_WIDER = 2.0
"""Real perturbed cells: .6 to 1.4 times the summed variance of their controls' log1p counts per 10k."""
LEAST_SPREAD_OF_TOTALS = 0.02
"""Real cells: totals have a standard deviation of .2 to 1.7 of their mean; equal totals are normalised values."""
MOST_EMPTY = 0.05
MOST_COPIES = 0.01
"""Share of predicted cells that may equal a real one; among real cells of at least 10 genes no two are equal."""
LEAST_DISTINCT = 0.5
GENES_OF_A_COPY = 10


@dataclass(frozen=True)
class CheckedPrediction:
    """Predicted cells that may be scored.

    ``groups`` holds label → cells, genes in the order of the real ones, never any controls; ``notes`` says what was
    done to them.
    """

    groups: Mapping[str, CellGroup]
    notes: tuple[str, ...]


def check_prediction(
    predicted: anndata.AnnData,
    real: Cells,
    questions: Sequence[Question],
    *,
    columns: Mapping[str, str] | None = None,
    source: str = "prediction",
) -> CheckedPrediction:
    """Check predicted cells and sort them by question.

    Parameters
    ----------
    predicted
        Raw counts in ``X``. A cell answers the question whose label stands in the ``obs`` column ``question``; without
        that column, the one whose perturbation, context and dose it has.
    real
        The real cells.
    questions
        What was asked.
    columns
        Role → ``obs`` column of the prediction, where they differ; role ``depth``: the library size.
    source
        Name of the prediction, for messages.

    Raises
    ------
    PredictionRefused
        If genes, values, scale, variance or labels are not what they have to be, cells are copies, or questions are not
        answered.
    """
    notes: list[str] = []
    table = _aligned(predicted, real, source, notes)
    names = {role: (columns or {}).get(role, role) for role in ("question", "perturbation", "depth", "dose")}
    names |= {role: (columns or {}).get(role, role) for role in real.context_roles}
    rows = {each.label: _rows_of(each, table.obs, real, names, source) for each in questions}
    _check_answered(rows, source)
    _note_unused(table, rows, real, names, notes)
    counts = _counts(table, rows, source)
    groups = {label: _group(counts, table.obs, some, real, names, source) for label, some in rows.items()}
    groups = {label: _without_empty(group, label, source, notes) for label, group in groups.items()}
    for question in questions:
        _check_scale(groups[question.label], question, real, source)
        _check_copies(groups[question.label], question, real, source)
    return CheckedPrediction(groups, tuple(notes))


def predicted_effects(checked: CheckedPrediction, real: Cells, questions: Sequence[Question]) -> dict[str, Array]:
    """Return label → predicted effect, (genes,), ``log1p counts per 10k``, against the *real* controls."""
    return {
        each.label: np.asarray(checked.groups[each.label].log1p_per_10k().mean(axis=0)).ravel()
        - real.log1p_per_10k(each.controls)
        for each in questions
    }


def _aligned(predicted: anndata.AnnData, real: Cells, source: str, notes: list[str]) -> anndata.AnnData:
    """Bring the genes into the order of the real cells."""
    genes = pd.Index(predicted.var_names.astype(str))
    wanted = pd.Index(real.genes)
    if genes.has_duplicates:
        shown = ", ".join(genes[genes.duplicated()].unique()[:5])
        raise PredictionRefused(f"{source}: var_names has duplicate genes ({shown}); every gene has to be there once")
    missing, extra = wanted.difference(genes, sort=False), genes.difference(wanted, sort=False)
    if len(missing) or len(extra):
        shown = ", ".join([*missing[:3], *extra[:3]])
        raise PredictionRefused(
            f"{source}: {len(missing)} genes of the real cells are missing and {len(extra)} others are there (such as"
            f" {shown}); predict exactly the {len(wanted)} genes of the real cells"
        )
    if not genes.equals(wanted):
        notes.append("genes were in another order and were sorted by name")
        predicted = predicted[:, genes.get_indexer(wanted)]
    return predicted


def _rows_of(
    question: Question, obs: pd.DataFrame, real: Cells, names: Mapping[str, str], source: str
) -> npt.NDArray[np.int64]:
    if names["question"] in obs:
        return np.flatnonzero(obs[names["question"]].astype(str) == question.label)
    wanted = {"perturbation": question.perturbation, **question.context}
    found = np.ones(len(obs), dtype=bool)
    for role, value in wanted.items():
        found &= np.asarray(_column(obs, names[role], source).astype(str) == value)
    doses = {dose for _, dose in question.parts if dose is not None}
    if doses:
        given = pd.to_numeric(_column(obs, names["dose"], source), errors="coerce")
        found &= np.isin(given.to_numpy(dtype=float), list(doses))
    return np.flatnonzero(found)


def _column(obs: pd.DataFrame, name: str, source: str) -> pd.Series:
    if name not in obs:
        raise PredictionRefused(
            f"{source}: obs has no column {name!r}; columns are: {', '.join(obs) or 'none'} (or name each cell's"
            " question in a column 'question')"
        )
    return obs[name]


def _check_answered(rows: Mapping[str, npt.NDArray[np.int64]], source: str) -> None:
    short = [label for label, some in rows.items() if len(some) < FEWEST_CELLS]
    if short:
        raise PredictionRefused(
            f"{source}: {len(short)} of {len(rows)} questions are not answered (such as {', '.join(short[:3])}); at"
            f" least {FEWEST_CELLS} cells are needed for each: leaving out the hard ones would be no prediction"
        )


def _note_unused(
    table: anndata.AnnData,
    rows: Mapping[str, npt.NDArray[np.int64]],
    real: Cells,
    names: Mapping[str, str],
    notes: list[str],
) -> None:
    used = np.zeros(table.n_obs, dtype=bool)
    for some in rows.values():
        used[some] = True
    labels = table.obs[names["perturbation"]].astype(str) if names["perturbation"] in table.obs else None
    controls = 0 if labels is None else int((~used & np.asarray(labels == real.control)).sum())
    if controls:
        notes.append(f"{controls} predicted control cells are not used: effects are measured against the real controls")
    others = int((~used).sum()) - controls
    if others:
        notes.append(f"{others} cells answer no question and are not used")


def _counts(table: anndata.AnnData, rows: Mapping[str, npt.NDArray[np.int64]], source: str) -> sp.csr_matrix:
    """Return the counts, after checking the values of every question's cells."""
    if table.X is None:
        raise PredictionRefused(f"{source}: X is empty; it has to hold raw counts")
    matrix: sp.csr_matrix = sp.csr_matrix(table.X)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    fractional = []
    for label, some in rows.items():
        values: npt.NDArray[Any] = matrix[some].data
        if not np.isfinite(values).all():
            raise PredictionRefused(f"{source}: cells of {label!r} have values that are NaN or infinite")
        if (values < 0).any():
            raise PredictionRefused(f"{source}: cells of {label!r} have negative values (smallest {values.min():g})")
        if not np.array_equal(values, np.floor(values)):
            fractional.append(label)
    if fractional:
        mixed = len(fractional) < len(rows)
        which = f"the cells of {len(fractional)} of {len(rows)} questions" if mixed else "the cells"
        raise PredictionRefused(
            f"{source}: {which} hold values that are no integers, as after normalisation or a logarithm"
            f"{'; scales are mixed' if mixed else ''} (such as {fractional[0]!r}); hand in raw counts"
        )
    return matrix.astype(np.float64)


def _group(
    counts: sp.csr_matrix,
    obs: pd.DataFrame,
    some: npt.NDArray[np.int64],
    real: Cells,
    names: Mapping[str, str],
    source: str,
) -> CellGroup:
    chosen = counts[some]
    totals = np.asarray(chosen.sum(axis=1)).ravel()
    if names["depth"] in obs:
        depth = pd.to_numeric(obs[names["depth"]].iloc[some], errors="coerce").to_numpy(dtype=float)
        if not (np.isfinite(depth) & (depth >= totals)).all():
            raise PredictionRefused(
                f"{source}: obs[{names['depth']!r}] has library sizes that are missing or smaller than the cell's own"
                " counts"
            )
        return CellGroup(chosen, depth)
    if not np.array_equal(real.depth, np.asarray(real.counts.sum(axis=1)).ravel()):
        raise PredictionRefused(
            f"{source}: the real cells' library sizes are counted over more genes than the panel has; give those of the"
            f" predicted cells in obs[{names['depth']!r}]"
        )
    return CellGroup(chosen, totals)


def _without_empty(group: CellGroup, label: str, source: str, notes: list[str]) -> CellGroup:
    empty = np.diff(group.counts.indptr) == 0
    if empty.mean() > MOST_EMPTY:
        raise PredictionRefused(f"{source}: {empty.mean():.0%} of the cells of {label!r} have no count at all")
    if not empty.any():
        return group
    notes.append(f"{int(empty.sum())} cells of {label!r} without a count are not used")
    return CellGroup(group.counts[~empty], group.depth[~empty])


def _check_scale(group: CellGroup, question: Question, real: Cells, source: str) -> None:
    """Refuse totals and variances that no real cells show."""
    controls = CellGroup.of(real, question.controls)
    where = f"{source}: cells of {question.label!r}"
    for what, ours, theirs in (
        ("counts", controls.totals, group.totals),
        ("library sizes", controls.depth, group.depth),
    ):
        ratio = float(np.median(theirs) / np.median(ours))
        if not 1 / MOST_TIMES_DEEPER <= ratio <= MOST_TIMES_DEEPER:
            raise PredictionRefused(
                f"{where} have {ratio:.3g} times the {what} of real control cells (medians); raw counts of one scale"
                f" are within {MOST_TIMES_DEEPER:g} times"
            )
    spread, real_spread = (float(each.totals.std() / each.totals.mean()) for each in (group, controls))
    if spread < LEAST_SPREAD_OF_TOTALS < real_spread / 5:
        raise PredictionRefused(
            f"{where} all have nearly the same total ({group.totals.mean():.0f} ± {spread:.1%}), as after normalisation"
            f" (real controls: ± {real_spread:.0%}); hand in raw counts"
        )
    ratio = _total_variance(group) / _total_variance(controls)
    if ratio > MOST_TIMES_WIDER:
        raise PredictionRefused(
            f"{where} vary {ratio:.3g} times as much as real control cells (summed variance of log1p counts per 10k);"
            f" at most {MOST_TIMES_WIDER:g} times can be a prediction"
        )


def _total_variance(group: CellGroup) -> float:
    scaled = group.log1p_per_10k()
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    return float(scaled.multiply(scaled).sum() / len(group) - np.square(mean).sum())


def _check_copies(group: CellGroup, question: Question, real: Cells, source: str) -> None:
    """Refuse cells that are the answer's own, and a few cells that stand for many."""
    predicted = cell_digests(group.counts)
    if not predicted:
        return
    answer = set(cell_digests(real.counts[question.perturbed]))
    copies = sum(digest in answer for digest in predicted) / len(predicted)
    if copies > MOST_COPIES:
        raise PredictionRefused(
            f"{source}: {copies:.0%} of the cells of {question.label!r} are real cells of the answer, count for count"
        )
    distinct = len(set(predicted)) / len(predicted)
    if distinct < LEAST_DISTINCT:
        raise PredictionRefused(
            f"{source}: the {len(predicted)} cells of {question.label!r} are copies of {len(set(predicted))}; copies"
            " make tests of genes look certain: hand in each cell once"
        )


def cell_digests(counts: sp.csr_matrix) -> list[bytes]:
    """Return a digest of the counts of every cell with at least 10 genes: equal cells have equal digests."""
    ordered: sp.csr_matrix = counts.astype(np.int64).sorted_indices()
    found = []
    for start, end in zip(ordered.indptr[:-1], ordered.indptr[1:], strict=True):
        if end - start >= GENES_OF_A_COPY:
            state = hashlib.blake2b(ordered.indices[start:end].astype(np.int64).tobytes(), digest_size=16)
            state.update(ordered.data[start:end].tobytes())
            found.append(state.digest())
    return found
