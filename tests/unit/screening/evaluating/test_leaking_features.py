"""Tables of vectors that were made from the cells that are asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from campaigns.feature_spec import CoExpressionSource, FeaturesSpec, TableSource
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.perturbation_features import FeatureBlock, combine
from lingshu_core.split_builder import SplitRules, build_split
from lingshu_core.split_table import CellTable
from lingshu_core.splits import Split
from screening.evaluating.leak_checker import check_features, check_leaks

NAMES = tuple(f"P{i:02d}" for i in range(24))
Write = Callable[..., TableSource]


@pytest.fixture(scope="module")
def cells() -> Cells:
    """24 perturbations of 20 cells each, with effects on a few of 60 genes, and 60 controls."""
    random = np.random.default_rng(0)
    labels = np.repeat(["control", *NAMES], [60, *[20] * 24])
    rates = np.full((len(labels), 60), 4.0)
    for number, name in enumerate(NAMES):
        genes = random.choice(60, size=6, replace=False)
        rates[np.ix_(labels == name, genes)] *= 1.0 + number / 4.0
    counts = sp.csr_matrix(random.poisson(rates).astype(np.int32))
    kinds = np.where(labels == "control", "none", "genetic")
    obs = pd.DataFrame({"perturbation": labels, "perturbation_type": kinds, "dose": np.nan, "line": "K562"})
    depth = np.asarray(counts.sum(axis=1)).ravel().astype(float)
    names = np.array([f"ACGTACGTACGT{i:04d}" for i in range(len(labels))])
    genes = tuple(f"G{i}" for i in range(60))
    return Cells(counts, genes, obs, depth, ("line",), "control", "made", names=names)


@pytest.fixture(scope="module")
def split(cells: Cells) -> Split:
    options = {"folds": 2, "perturbations": None}
    return build_split(CellTable.of(cells), "unseen_perturbation", SplitRules(minimum_cells=5), options)


def effects(cells: Cells, allowed: np.ndarray | None = None) -> np.ndarray:
    keep = np.ones(len(cells), dtype=bool) if allowed is None else allowed
    labels = cells.obs["perturbation"].to_numpy()
    return np.stack([real_effect(cells, (labels == name) & keep, cells.is_control & keep) for name in NAMES])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a table of vectors: `write(values, **arrays)`."""

    def table(values: np.ndarray, **arrays: Any) -> TableSource:
        path = tmp_path / "vectors.npz"
        np.savez(path, names=np.array(NAMES), features=values, **arrays)
        return TableSource(kind="table", file=str(path))

    return table


def found(source: TableSource, split: Split, cells: Cells) -> list[str]:
    spec = FeaturesSpec(genetic=(source, CoExpressionSource(kind="co_expression")))
    report = check_leaks(split, cells, features={"ridge": spec})
    assert {finding.kind for finding in report.findings} <= {"features"}
    return [str(finding) for finding in report.leaks]


def test_vectors_that_know_nothing_of_the_cells_are_let_pass(cells: Cells, split: Split, write: Write) -> None:
    assert found(write(np.random.default_rng(1).normal(size=(24, 32))), split, cells) == []


def test_measured_effects_are_found(cells: Cells, split: Split, write: Write) -> None:
    (line,) = found(write(effects(cells)), split, cells)
    assert "ridge: " in line
    assert "vectors.npz: holds measured effects of the 24 perturbations that are asked" in line
    assert "column 1 is G0" in line


def test_principal_components_of_measured_effects_are_found(cells: Cells, split: Split, write: Write) -> None:
    measured = effects(cells)
    left, sizes, _ = np.linalg.svd(measured - measured.mean(axis=0), full_matrices=False)
    assert len(found(write(left[:, :12] * sizes[:12]), split, cells)) == 1


def test_a_table_that_says_it_was_made_from_all_cells_is_found(cells: Cells, split: Split, write: Write) -> None:
    values = np.random.default_rng(1).normal(size=(24, 32))
    (line,) = found(write(values, data_digest=np.array(cells.digest())), split, cells)
    assert "says that it was made from all cells of the data" in line
    assert found(write(values, data_digest=np.array("0" * 64)), split, cells) == []


def test_a_table_that_names_cells_that_are_asked_is_found(cells: Cells, split: Split, write: Write) -> None:
    values = np.random.default_rng(1).normal(size=(24, 32))
    (line,) = found(write(values, fitted_on=cells.names[:100]), split, cells)
    assert "says that it was made from " in line
    assert found(write(values, fitted_on=np.array(["TTTTTTTTTTTT0001"])), split, cells) == []


@pytest.mark.parametrize(("leaking", "count"), [(False, 0), (True, 1)])
def test_what_a_model_is_given_is_compared_too(cells: Cells, split: Split, leaking: bool, count: int) -> None:
    values = effects(cells) if leaking else np.random.default_rng(1).normal(size=(24, 60))
    block = FeatureBlock(NAMES, values, "table", "genetic", file="vectors.npz", dimensions=64)
    findings = check_features(combine([block]), cells, split.folds[0], "ridge")
    assert len(findings) == count
    assert all(finding.where == "ridge: vectors.npz" for finding in findings)
