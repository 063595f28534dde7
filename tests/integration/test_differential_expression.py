"""Tests of a whole CRISPR screen, beside the package that the public evaluators use."""

import os
import warnings
from pathlib import Path

import anndata
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from benchmarks.quickstart import __file__ as benchmark
from lingshu_core.differential_expression import differential_expression, differential_expression_of_histograms
from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import encode

pytestmark = pytest.mark.data
DATA = Path(os.environ.get("LINGSHU_DATA") or Path(benchmark).parents[1] / "../shared/data")


@pytest.fixture(scope="module")
def papalexi() -> anndata.AnnData:
    """Counts of 25 knock-outs."""
    file = DATA / "papalexi2021_thp1_crispr_299.h5ad"
    if not file.exists():
        pytest.skip("the real data are not here: set LINGSHU_DATA to the folder with papalexi2021_thp1_crispr_299.h5ad")
    cells = anndata.read_h5ad(file)
    cells.X = sp.csr_matrix(cells.X, dtype=np.float64)
    return cells


def of_pdex(cells: anndata.AnnData, log1p: bool) -> pl.DataFrame:
    pdex = pytest.importorskip("pdex", reason="pdex is not installed: pip install 'lingshu-screen[evaluate]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table: pl.DataFrame = pdex.pdex(cells, "perturbation", reference="control", is_log1p=log1p, threads=1)
    return table


@pytest.mark.parametrize("scale", ["linear", "log1p"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_real_screen_has_the_calls_of_pdex(papalexi: anndata.AnnData, scale: str, dtype: type) -> None:
    cells = papalexi.copy()
    if scale == "log1p":
        depth = np.asarray(cells.X.sum(axis=1)).ravel()
        cells.X = sp.csr_matrix(sp.diags(1e4 / depth) @ cells.X).log1p()
    cells.X = cells.X.astype(dtype)
    expected = of_pdex(cells, scale == "log1p")
    found = differential_expression(cells.X, cells.obs["perturbation"], cells.var_names, scale=scale)
    ours = found.table()
    same = ["target", "feature", "target_membership", "ref_membership", "statistic"]
    assert ours.select(same).equals(expected.select(same))
    for column in ("p_value", "fdr"):
        np.testing.assert_allclose(ours[column], expected[column], rtol=1e-9)
    for column in ("target_mean", "ref_mean", "log2_fold_change"):
        rounding = 1e-9 if dtype is np.float64 else 1e-3  # theirs sums 32 bits; with silent genes log2 magnifies
        np.testing.assert_allclose(ours[column], expected[column], rtol=rounding, atol=rounding)
    assert np.array_equal(ours["fdr"] < 0.05, expected["fdr"] < 0.05)
    # The receptor, its kinase and their transcription factor change most of the panel.
    called = dict(zip(found.perturbations, found.significant().sum(axis=1).tolist(), strict=True))
    assert set(sorted(called, key=lambda name: -called[name])[:4]) == {"STAT1", "JAK2", "IFNGR1", "IFNGR2"}


def test_merged_histograms_of_a_real_screen_give_the_same_calls(papalexi: anndata.AnnData) -> None:
    labels, genes = papalexi.obs["perturbation"].to_numpy(), list(papalexi.var_names)
    histograms = {}
    for label in sorted(set(labels)):
        cells = papalexi.X[labels == label].tocoo()
        histograms[label] = TokenHistogram.empty(len(genes))
        histograms[label].add(cells.col, encode(cells.data), cells.shape[0])
    controls = histograms.pop("control")
    merged = differential_expression_of_histograms(histograms, controls, genes)
    counted = differential_expression(papalexi.X, labels, genes, scale="linear")
    exact = np.asarray(papalexi.X.max(axis=0).todense()).ravel() < 100
    assert exact.sum() > 250
    assert np.array_equal(merged.statistics[:, exact], counted.statistics[:, exact])
    np.testing.assert_allclose(merged.p_values[:, exact], counted.p_values[:, exact], rtol=1e-12)
    assert (merged.significant() == counted.significant()).mean() > 0.999
