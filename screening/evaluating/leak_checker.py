"""Is there anything to learn from that is asked? The leak checker of an evaluation.

It reads the split, the cells, features, priors and ready checkpoints, and finds what stands on both sides: cells by
name and by counts, perturbations, their relatives, contexts that priors were measured in, features made of the cells
that are asked. What is certain is a *leak*, and no score is given; what can't be told is a *note*.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from campaigns.feature_spec import FeaturesSpec
from lingshu_core.cell_files import find_files
from lingshu_core.cell_store import StoredCells
from lingshu_core.cells import Cells, CellSource
from lingshu_core.checkpoint import CheckpointHeader
from lingshu_core.count_rows import CountRows
from lingshu_core.leak_finding import Finding
from lingshu_core.relations import Relations
from lingshu_core.shared_cells import SharedCells, plain_names, repeated_cells, shared_cells
from lingshu_core.split_leaks import fold_leaks
from lingshu_core.split_table import CellTable, listed
from lingshu_core.splits import Fold, Split
from screening.errors import LeakError
from screening.evaluating.leaking_checkpoints import checkpoint_leaks
from screening.evaluating.leaking_features import check_features, features_leaks
from screening.evaluating.leaking_files import is_there, kept_from_all, kept_from_learning, learnable, names_and_counts

__all__ = ["Fitted", "LeakReport", "check_features", "check_leaks", "check_training"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fitted:
    """Something that was fitted on cells: features, a choice of genes, a scaler.

    Parameters
    ----------
    what
        Such as ``co_expression features of ridge``.
    names
        Of the cells that it was fitted on.
    fold
        The fold that it is used in; None for all.
    """

    what: str
    names: Collection[str]
    fold: str | None = None


@dataclass(frozen=True)
class LeakReport:
    """Everything that was found."""

    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """What makes scores worthless."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What can't be told, or is to be kept in mind."""
        return tuple(finding for finding in self.findings if finding.severity == "note")

    def fail(self) -> None:
        """Refuse to go on if there is a leak.

        Raises
        ------
        LeakError
            With a line for each leak.
        """
        if self.leaks:
            raise LeakError("\n".join(map(str, self.leaks)))

    def as_data(self) -> list[dict[str, Any]]:
        """Return the findings as plain data."""
        return [finding.as_data() for finding in self.findings]


def check_leaks(
    split: Split,
    cells: Cells,
    *,
    relations: Relations | None = None,
    fitted: Sequence[Fitted] = (),
    features: Mapping[str, FeaturesSpec] | None = None,
    checkpoints: Mapping[str, CheckpointHeader] | None = None,
    files: Sequence[str] = (),
) -> LeakReport:
    """Look for everything that is both asked and there to learn from, before anything is trained.

    Parameters
    ----------
    split, cells
        The split, and the data set that it is of.
    relations
        What counts as related, for splits by families and structures.
    fitted
        What was fitted on which cells.
    features
        Name of a model → the features that it is to be trained with.
    checkpoints
        Name of a model → the head of a checkpoint that is trained already.
    files
        Further files of cells that something was learnt from: local paths, URLs or patterns.

    Raises
    ------
    DataError
        If a file of cells can't be read.
    FeatureError
        If a file of features can't be read.
    """
    findings: list[Finding] = []
    for fold in split.folds:
        findings += fold_leaks(split, fold, CellTable.of(cells), relations)
    findings += _copies(split, cells)
    findings += [finding for each in fitted for finding in fitted_leaks(each, split, cells)]
    findings += _selected_genes(cells)
    for path in find_files(files):
        findings += _file_leaks(path, split, cells)
    for model, spec in (features or {}).items():
        findings += features_leaks(spec, split, cells, model)
    for model, header in (checkpoints or {}).items():
        findings += checkpoint_leaks(header, split, cells, model, relations)
    return LeakReport(_merged(findings))


def _merged(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Say once what holds for several folds."""
    places: dict[Finding, list[str]] = {}
    for finding in findings:
        places.setdefault(replace(finding, where=""), []).append(finding.where)
    return tuple(replace(finding, where=listed(where, 3)) for finding, where in places.items())


def check_training(fold: Fold, cells: Cells, trained: Cells, where: str) -> list[Finding]:
    """Find cells that a model is trained on though its fold keeps them from it.

    Parameters
    ----------
    fold, cells
        A fold, and the data set that it is of.
    trained
        The cells that the model is in fact trained on; they may come from another file.
    where
        Name of the model.
    """
    names, allowed = CellTable.of(cells).names, learnable(fold)
    wrong = ~allowed & np.isin(names, trained.names)
    findings = []
    if wrong.any():
        text = "{count} cells that the split keeps out are trained on"
        cure = "train on what the split leaves"
        findings.append(Finding.of("held_out_cells", where, names[wrong].tolist(), text, cure))
    own = np.isin(trained.names, names) if len(trained.names) else np.zeros(len(trained), dtype=bool)
    if not own.all():
        other = trained if isinstance(trained, StoredCells) else trained.select(~own)
        found = shared_cells(cells, other)
        positions = found.same[(~allowed & ~wrong)[found.same]]
        findings += _same_cells(names[positions].tolist(), where, trained.source, found)
    return findings


def fitted_leaks(fitted: Fitted, split: Split, cells: Cells) -> list[Finding]:
    """Find cells that something was fitted on and that are asked."""
    table = CellTable.of(cells)
    names = plain_names(np.array(sorted(fitted.names), dtype=np.str_))
    known = np.isin(plain_names(table.names), names)
    findings = []
    for fold in split.folds:
        seen = known & kept_from_learning(split, fold)
        if fitted.fold in (None, fold.name) and seen.any():
            text = f"{fitted.what}: fitted on {{count}} cells that are asked, or that effects are measured by"
            cure = "fit it on the training cells of the fold"
            findings.append(Finding.of("fitted", f"fold {fold.name!r}", table.names[seen].tolist(), text, cure))
    return findings


def _copies(split: Split, cells: Cells) -> list[Finding]:
    """Find cells that are in the data twice, once asked and once to learn from."""
    repeated = repeated_cells(cells)
    names, cure, findings = CellTable.of(cells).names, "drop cells that are there twice", []
    for fold in split.folds if repeated.any else ():
        both = repeated.across(kept_from_learning(split, fold) & ~learnable(fold), learnable(fold))
        where, sure, faint = f"fold {fold.name!r}", names[both & repeated.sure], names[both & ~repeated.sure]
        if len(sure):
            text = "{count} cells that are asked are in the data a second time, to learn from"
            findings.append(Finding.of("copies", where, sure.tolist(), text, cure))
        if len(faint):
            text = "{count} cells that are asked have the counts of one to learn from, so few that it may be chance"
            findings.append(Finding.of("copies", where, faint.tolist(), text, cure, "note"))
    return findings


def _file_leaks(path: str, split: Split, cells: Cells) -> list[Finding]:
    """Find cells that are asked in a further file."""
    found = shared_cells(cells, names_and_counts(path))
    held, names = kept_from_all(split), CellTable.of(cells).names
    findings = _same_cells(names[found.same[held[found.same]]].tolist(), "data", path, found)
    faint = names[found.faint[held[found.faint]]].tolist()
    if faint:
        text = f"{{count}} cells that are asked have the counts of one in {path}, so few that it may be chance"
        cure = "look whether both come from one experiment"
        findings.append(Finding.of("same_cells", "data", faint, text, cure, "note"))
    return findings


def _same_cells(names: list[str], where: str, source: str, found: SharedCells) -> list[Finding]:
    if not names:
        return []
    how = f"{len(found.by_name):,} by name, {len(found.by_content):,} by their counts of {found.compared_genes:,} genes"
    text = f"{{count}} cells that are asked are in {source} too (shared in all: {how})"
    return [Finding.of("same_cells", where, names, text, "drop them from one of the two")]


def _selected_genes(cells: Cells) -> list[Finding]:
    """Note files that hold a choice of genes which was made on all of their cells."""
    findings = []
    for path in cells.source.split(", "):
        if is_there(path):
            with CountRows(CellSource(path, {})) as file:
                variable = file.annotation().var.get("highly_variable")
            if variable is not None and bool(variable.astype(bool).all()):
                text = "it has variable genes only, which were chosen on all its cells, those that are asked included"
                cure = "give the file with all its genes"
                findings.append(Finding("gene_selection", "note", path, len(variable), (), text, cure))
    return findings
