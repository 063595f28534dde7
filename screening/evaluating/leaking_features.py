"""Were features of perturbations made from the cells that are asked?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from campaigns.feature_spec import FeaturesSpec, TableSource
from lingshu_core.cells import Cells
from lingshu_core.feature_files import FeatureFile, read_feature_file, read_vectors
from lingshu_core.feature_provenance import feature_provenance
from lingshu_core.feature_traces import find_traces
from lingshu_core.leak_finding import Finding
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.shared_cells import plain_names
from lingshu_core.split_table import CellTable, targets_of
from lingshu_core.splits import Fold, Split
from screening.evaluating.leaking_files import counts_are_here, kept_from_all

Array = npt.NDArray[np.float64]

_CURE = "make the table from other data, or from the training cells of each fold"
_SHOWN = 5


def features_leaks(spec: FeaturesSpec, split: Split, cells: Cells, where: str) -> list[Finding]:
    """Look at every table of vectors that a training names.

    Gene sets, links and structures are made of no cells, and co-expression is computed of the training cells.

    Raises
    ------
    FeatureError
        If a table can't be read.
    """
    tables = [(read_feature_file(source.file), source.name) for source in _tables(spec)]
    return [finding for file, column in tables for finding in table_leaks(file, split, cells, where, column)]


def table_leaks(file: FeatureFile, split: Split, cells: Cells, where: str, column: str | None = None) -> list[Finding]:
    """Find out whether a table of vectors was made from the cells that are asked.

    It may say itself what it was made from (:mod:`lingshu_core.feature_provenance`); in any case its vectors are
    compared with the measured effects.
    """
    place = f"{where}: {file.path}"
    made_from = feature_provenance(file)
    findings = []
    if made_from.data_digest and made_from.data_digest == cells.digest():
        text = "says that it was made from all cells of the data, those that are asked included"
        findings.append(Finding("features", "leak", place, len(cells), (), text, _CURE))
    names = CellTable.of(cells).names
    seen = kept_from_all(split) & np.isin(plain_names(names), np.array(made_from.cells, dtype=np.str_))
    if seen.any():
        text = "says that it was made from {count} cells that are asked, or that effects are measured by"
        findings.append(Finding.of("features", place, names[seen].tolist(), text, _CURE))
    vectors = read_vectors(file, column)
    known = dict(zip(vectors.names, vectors.values, strict=True))
    return findings + _trace_leaks(known, split.folds, cells, place)


def check_features(features: PerturbationFeatures, cells: Cells, fold: Fold, where: str) -> list[Finding]:
    """Find features that are measured effects of the perturbations that a fold asks.

    Parameters
    ----------
    features
        The features of a model, all sources joined.
    cells, fold
        The data set, and the fold that the model is trained for.
    where
        Name of the model.
    """
    column, findings = 0, []
    for origin in features.origins:
        block = features.matrix[:, column : column + origin.dimensions].astype(np.float64)
        column += origin.dimensions
        if origin.kind == "table" or origin.kind.startswith("plugin "):  # either may hold anything
            known = {name: row for name, row in zip(features.types, block, strict=True) if row.any()}
            findings += _trace_leaks(known, (fold,), cells, f"{where}: {origin.file or origin.kind}")
    return findings


def _tables(spec: FeaturesSpec) -> Iterator[TableSource]:
    for sources in spec.by_type.values():
        yield from (source for source in sources if isinstance(source, TableSource))


def _trace_leaks(known: Mapping[str, Array], folds: Sequence[Fold], cells: Cells, place: str) -> list[Finding]:
    """Compare vectors of perturbations with what was measured of those that are asked."""
    effects = _measured(folds, cells, known) if counts_are_here(cells) else {}
    names = sorted(effects)
    traces = find_traces(*(np.stack([of[name] for name in names]) for of in (known, effects))) if names else None
    if traces is None or not traces.are_effects:
        return []
    columns = [f"column {column + 1} is {cells.genes[gene]}" for column, gene, _ in traces.columns]
    text = (
        f"holds measured effects of the {len(names)} perturbations that are asked: distances between them have a rank"
        f" correlation of {traces.distances:.2f} with those of the effects, and {len(columns)} columns are the effect"
        " on a gene"
    )
    return [Finding("features", "leak", place, len(names), tuple((columns or names)[:_SHOWN]), text, _CURE)]


def _measured(folds: Sequence[Fold], cells: Cells, known: Collection[str]) -> dict[str, Array]:
    """Return the mean effect of each target that is asked by itself and described, (genes,)."""
    means: dict[bytes, Array] = {}
    found: dict[str, list[Array]] = {}
    for fold in folds:
        for question in (*fold.questions, *fold.calibration):
            targets = sorted(targets_of(question.perturbation))
            if len(targets) == 1 and targets[0] in known:
                key = np.packbits(question.controls).tobytes()
                if key not in means:
                    means[key] = cells.log1p_per_10k(question.controls)
                found.setdefault(targets[0], []).append(cells.log1p_per_10k(question.perturbed) - means[key])
    return {target: np.mean(effects, axis=0) for target, effects in found.items()}
