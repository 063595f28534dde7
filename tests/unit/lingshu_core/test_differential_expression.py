from __future__ import annotations

import warnings
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lingshu_core import grouped_cells, rank_sums
from lingshu_core.differential_expression import (
    DifferentialExpression,
    differential_expression,
    differential_expression_of_histograms,
    two_sided_p_values,
)
from lingshu_core.errors import ConfigurationError, NotCounts, UnusableCells
from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import decode, encode

Values = npt.NDArray[Any]


def compare(values: Values, labels: list[str], **options: Any) -> DifferentialExpression:
    names = [f"G{i}" for i in range(values.shape[1])]
    return differential_expression(sp.csr_matrix(values), labels, names, **{"scale": "linear"} | options)


def screen(seed: int, sizes: tuple[int, ...], kind: str, genes: int = 7, mean: float = 1.0) -> tuple[Values, list[str]]:
    """Values of cells, the controls first, of which some genes are silent or constant."""
    rng = np.random.default_rng(seed)
    means = mean * np.exp(rng.normal(0, 2, genes))
    values: Values = rng.negative_binomial(1, 1 / (1 + means), (sum(sizes), genes))
    values[:, 0] = 0
    values[:, 1] = 3
    if kind != "counts":
        values = np.log1p(values * 1e4 / (1 + rng.integers(100, 104, (len(values), 1))))
    if kind == "float32":
        values = values.astype(np.float32)
    if kind == "rounded":
        values = values.round(1)
    labels = [name for name, size in zip(["control", *"ABCDEFGH"], sizes, strict=False) for _ in range(size)]
    return values, labels


KINDS = ["counts", "float32", "float64", "rounded"]
SCREENS = st.tuples(
    st.integers(0, 10_000),
    st.lists(st.integers(1, 12), min_size=2, max_size=6).map(tuple),
    st.sampled_from(KINDS),
    st.integers(3, 9),
    st.sampled_from([0.05, 1.0, 30.0, 1e5]),
)


def assert_like_scipy(found: DifferentialExpression, values: Values, labels: list[str]) -> None:
    group = np.array(labels)
    for row, name in enumerate(found.perturbations):
        expected = stats.mannwhitneyu(
            values[group == name].astype(float), values[group == "control"].astype(float), axis=0, method="asymptotic"
        )
        assert np.array_equal(found.statistics[row], expected.statistic)
        np.testing.assert_allclose(found.p_values[row], expected.pvalue, rtol=1e-9)
        rates = stats.false_discovery_control(found.p_values[row])
        assert np.array_equal(found.false_discovery_rates[row], rates)


@given(SCREENS)
def test_statistics_are_those_of_scipy(drawn: tuple[Any, ...]) -> None:
    values, labels = screen(*drawn)
    assert_like_scipy(compare(values, labels), values, labels)


@given(SCREENS, st.sampled_from([1, 5, 40]), st.sampled_from([0, 1_000_000]))
def test_blocks_make_no_difference(drawn: tuple[Any, ...], entries: int, bins: int) -> None:
    """Neither how much is done at a time nor whether counts go through bins or a sort."""
    values, labels = screen(*drawn)
    found = compare(values, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped_cells, "_ENTRIES_AT_ONCE", entries)
        patch.setattr(grouped_cells, "_ENTRIES_PER_PIECE", 0)
        patch.setattr(rank_sums, "_ENTRIES_AT_ONCE", entries)
        patch.setattr(rank_sums, "_BINS_AT_ONCE", entries)
        patch.setattr(rank_sums, "_MOST_BINS_PER_ENTRY", bins)
        again = compare(values, labels)
    assert np.array_equal(found.statistics, again.statistics)
    np.testing.assert_allclose(found.p_values, again.p_values, rtol=1e-12)
    np.testing.assert_allclose(found.means, again.means, rtol=1e-12)


@given(SCREENS, st.randoms(use_true_random=False))
def test_the_order_of_cells_makes_no_difference(drawn: tuple[Any, ...], chance: Any) -> None:
    values, labels = screen(*drawn)
    order = list(range(len(labels)))
    chance.shuffle(order)
    found, again = compare(values, labels), compare(values[order], [labels[i] for i in order])
    assert found.perturbations == again.perturbations
    assert np.array_equal(found.statistics, again.statistics)
    assert np.array_equal(found.p_values, again.p_values)


@given(SCREENS)
def test_only_ranks_count(drawn: tuple[Any, ...]) -> None:
    values, labels = screen(*drawn)
    found, again = compare(values, labels), compare(np.asarray(values, dtype=float) ** 3, labels)
    assert np.array_equal(found.statistics, again.statistics)
    assert np.array_equal(found.p_values, again.p_values)


@given(SCREENS)
def test_exchanged_sides_mirror_the_statistic(drawn: tuple[Any, ...]) -> None:
    values, labels = screen(*drawn)
    pair = [i for i, label in enumerate(labels) if label in ("control", "A")]
    values, labels = values[pair], [labels[i] for i in pair]
    found = compare(values, labels)
    other = compare(values, labels, control="A")
    product = found.cells[0] * found.control_cells
    assert np.array_equal(found.statistics + other.statistics, np.full((1, values.shape[1]), product))
    np.testing.assert_allclose(found.p_values, other.p_values, rtol=1e-12)
    np.testing.assert_allclose(found.log2_fold_changes, -other.log2_fold_changes, atol=1e-12)


@given(SCREENS)
def test_histograms_tell_what_the_cells_tell(drawn: tuple[Any, ...]) -> None:
    seed, sizes, _, genes, scale = drawn
    values, labels = screen(seed, sizes, "counts", genes, scale)
    tokens, group = encode(values), np.array(labels)
    histograms = {name: histogram(tokens[group == name]) for name in dict.fromkeys(labels)}
    controls = histograms.pop("control")
    names = [f"G{i}" for i in range(values.shape[1])]
    for mean in ("geometric", "arithmetic"):
        found = differential_expression_of_histograms(histograms, controls, names, mean=mean)
        expected = compare(decode(tokens).astype(float), labels, mean=mean)
        assert (found.perturbations, found.genes) == (expected.perturbations, expected.genes)
        assert np.array_equal(found.cells, expected.cells)
        assert np.array_equal(found.statistics, expected.statistics)
        np.testing.assert_allclose(found.p_values, expected.p_values, rtol=1e-12)
        np.testing.assert_allclose(found.log2_fold_changes, expected.log2_fold_changes, atol=1e-9)


def histogram(tokens: npt.NDArray[np.int16]) -> TokenHistogram:
    """Gathered in two pieces, from the tokens that are not zero."""
    gathered = TokenHistogram.empty(tokens.shape[1])
    for piece in (tokens[:2], tokens[2:]):
        genes = piece.nonzero()[1]
        gathered.add(genes, piece[piece.nonzero()], len(piece))
    return gathered


@pytest.mark.parametrize("kind", KINDS)
def test_many_groups_are_told_apart(kind: str) -> None:
    """More groups than fit beside a value into 32 bits, and, for doubles, into 64."""
    values, _ = screen(1, (3_000,), kind, genes=4)
    labels = [f"P{i:04d}" if i else "control" for i in np.arange(3_000) // 2]
    values[:, 3] *= values[:, 3] < np.quantile(values[:, 3], 0.7)
    found = compare(values, labels)
    some = [0, 17, 1_400]
    for row in some:
        own = np.array(labels) == found.perturbations[row]
        expected = stats.mannwhitneyu(values[own].astype(float), values[:2].astype(float), method="asymptotic")
        assert np.array_equal(found.statistics[row], expected.statistic)
        np.testing.assert_allclose(found.p_values[row], expected.pvalue, rtol=1e-9)


@pytest.mark.parametrize("cells", [(1, 1), (1, 9), (9, 1), (400, 7)])
def test_few_cells(cells: tuple[int, int]) -> None:
    for kind in KINDS:
        values, labels = screen(5, cells, kind)
        assert_like_scipy(compare(values, labels), values, labels)


def test_a_rare_gene_among_many_cells_keeps_its_precision() -> None:
    """Most cells share a zero, and the variance is a small difference of large numbers."""
    values = np.zeros((300_000, 1), dtype=np.int32)
    values[[0, 299_999, 299_998, 299_997, 299_996]] = [[1], [2], [2], [3], [3]]
    labels = ["control"] * 290_000 + ["A"] * 10_000
    expected = stats.mannwhitneyu(values[290_000:, 0], values[:290_000, 0], method="asymptotic")
    for kind in (values, values / 3):
        found = compare(kind, labels)
        assert found.statistics[0, 0] == expected.statistic
        assert found.p_values[0, 0] == pytest.approx(expected.pvalue, rel=1e-6)


def test_silent_and_constant_genes_are_no_evidence() -> None:
    values = np.zeros((12, 3))
    values[:, 1] = 2.5
    values[6:, 2] = 4
    found = compare(values, ["control"] * 6 + ["A"] * 6)
    assert found.p_values[0, :2].tolist() == [1, 1]
    assert found.statistics[0].tolist() == [18, 18, 36]
    assert found.log2_fold_changes[0, :2].tolist() == [0, 0]
    assert found.p_values[0, 2] < 0.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
@pytest.mark.parametrize("scale", ["log1p", "linear"])
def test_means_are_on_the_linear_scale(kind: str, mean: str, scale: str) -> None:
    values, labels = screen(2, (30, 20, 10), kind)
    values = np.minimum(values, 9)  # counts may stand for logarithms here
    found = compare(values, labels, scale=scale, mean=mean, pseudocount=0.5)
    linear = np.expm1(values.astype(float)) if scale == "log1p" else values.astype(float)
    group = np.array(labels)
    for row, name in enumerate(["A", "B"]):
        sides = [linear[group == side] for side in (name, "control")]
        means = [np.expm1(np.log1p(side).mean(axis=0)) if mean == "geometric" else side.mean(axis=0) for side in sides]
        np.testing.assert_allclose(found.means[row], means[0], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(found.control_means, means[1], rtol=1e-6, atol=1e-12)
        folds = np.log2((means[0] + 0.5) / (means[1] + 0.5))
        np.testing.assert_allclose(found.log2_fold_changes[row], folds, atol=1e-6)


def test_without_a_pseudocount_fold_changes_are_infinite_where_one_side_is_silent() -> None:
    values = np.array([[0, 0, 1], [0, 0, 2], [0, 3, 0], [0, 4, 0]])
    found = compare(values, ["control", "control", "A", "A"], pseudocount=0.0)
    assert found.log2_fold_changes.tolist() == [[0.0, np.inf, -np.inf]]


def test_the_table_has_a_row_a_test() -> None:
    values, labels = screen(4, (9, 8, 7), "counts")
    found = compare(values, labels)
    rows = found.table()
    assert rows.height == 2 * 7
    row = rows.row(10, named=True)
    assert (row["target"], row["feature"]) == ("B", "G3")
    assert (row["target_membership"], row["ref_membership"]) == (7, 9)
    assert row["p_value"] == found.p_values[1, 3]
    assert row["statistic"] == found.statistics[1, 3]
    assert row["fdr"] == found.false_discovery_rates[1, 3]
    assert row["log2_fold_change"] == found.log2_fold_changes[1, 3]
    assert row["target_mean"] == found.means[1, 3]
    assert row["ref_mean"] == found.control_means[3]


def test_planted_genes_are_called_and_no_others() -> None:
    rng = np.random.default_rng(0)
    means = np.full((200, 50), 2.0)
    means[100:, :5] = 8.0
    found = compare(rng.poisson(means), ["control"] * 100 + ["A"] * 100)
    assert found.significant()[0].tolist() == [True] * 5 + [False] * 45
    assert not found.significant(0.0).any()
    assert (found.log2_fold_changes[0, :5] > 1).all()


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, np.asarray])
@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float32, np.float64])
def test_any_matrix_will_do(make: Any, dtype: Any) -> None:
    values, labels = screen(6, (9, 8, 7), "counts")
    names = [f"G{i}" for i in range(7)]
    given = make(values.astype(dtype))
    found = differential_expression(given, pd.Series(labels, dtype="category"), names, scale="linear")
    assert_like_scipy(found, values, labels)


def test_the_callers_matrix_stays_as_it_is() -> None:
    values = sp.csr_matrix(([1.0, 0.0, 2.0, 3.0], ([0, 0, 1, 2], [2, 1, 0, 1])), shape=(3, 3))
    values.has_sorted_indices = False
    values.indices[:2], values.data[:2] = values.indices[1::-1].copy(), values.data[1::-1].copy()
    before = values.data.copy(), values.indices.copy()
    found = differential_expression(values, ["control", "A", "A"], ["x", "y", "z"], scale="linear")
    assert_like_scipy(found, values.toarray(), ["control", "A", "A"])
    assert np.array_equal(values.data, before[0])
    assert np.array_equal(values.indices, before[1])


def test_no_cell_of_a_gene_or_of_all_has_a_count() -> None:
    for dtype in (np.int32, np.float64):
        found = compare(np.zeros((5, 3), dtype=dtype), ["control"] * 3 + ["A"] * 2)
        assert (found.p_values == 1).all()
        assert (found.statistics == 3).all()


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_values_that_have_no_rank_above_zero_are_refused(value: float) -> None:
    values = np.ones((4, 2))
    values[1, 1] = value
    with pytest.raises(NotCounts, match="values to test have"):
        compare(values, ["control", "control", "A", "A"])


@pytest.mark.parametrize(
    ("labels", "genes", "control", "told"),
    [
        (["control", "A"], 2, "control", "3 cells × 2 genes, but there are 2 labels"),
        (["control", "A", "A"], 3, "control", "2 genes, but there are 3 labels and 3 names"),
        (["control", "A", None], 2, "control", "1 cells have no perturbation label"),
        (["ctrl", "A", "A"], 2, "control", "no controls .* is 'control', and cells are labelled A, ctrl; give"),
        (["control"] * 3, 2, "control", "no perturbations"),
    ],
)
def test_names_that_do_not_fit_are_refused(labels: list[str], genes: int, control: str, told: str) -> None:
    with pytest.raises(UnusableCells, match=told):
        differential_expression(sp.csr_matrix(np.ones((3, 2))), labels, ["x"] * genes, control, scale="linear")


@pytest.mark.parametrize(
    ("options", "told"),
    [({"scale": "log2"}, "'log2'"), ({"mean": "median"}, "'median'"), ({"pseudocount": -1.0}, "pseudocount is -1.0")],
)
def test_unknown_settings_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        compare(np.ones((2, 2)), ["control", "A"], **options)


def test_histograms_that_do_not_fit_are_refused() -> None:
    one = histogram(encode(np.ones((3, 2))))
    with pytest.raises(UnusableCells, match=r"'A' has 2 genes and 3 cells; it needs 3"):
        differential_expression_of_histograms({"A": one}, histogram(encode(np.ones((3, 3)))), ["x", "y", "z"])
    with pytest.raises(UnusableCells, match="the controls has 2 genes and 0 cells"):
        differential_expression_of_histograms({"A": one}, TokenHistogram.empty(2), ["x", "y"])
    with pytest.raises(UnusableCells, match="no histogram of a perturbation"):
        differential_expression_of_histograms({}, one, ["x", "y"])


def test_p_values_of_no_difference_are_one() -> None:
    found = two_sided_p_values(np.array([12.0, 12.5, 13.0]), np.zeros(3), np.array([5]), 5)
    assert found.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["counts", "float32", "float64"])
@pytest.mark.parametrize(("mean", "pseudocount"), [("geometric", 1e-9), ("arithmetic", 0.5), ("geometric", 0.0)])
def test_equal_to_pdex(kind: str, mean: str, pseudocount: float) -> None:
    """The package that the public evaluators use, on a matrix of its kind."""
    pdex = pytest.importorskip("pdex", reason="pdex is not installed: pip install 'lingshu-screen[evaluate]'")
    values, labels = screen(8, (60, 40, 30, 1), kind, genes=40)
    cells = anndata.AnnData(sp.csr_matrix(values.astype(np.float64 if kind == "counts" else values.dtype)))
    cells.obs["target"] = labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of numba and of divisions by zero
        expected = pdex.pdex(
            cells,
            "target",
            reference="control",
            threads=1,
            is_log1p=kind != "counts",
            geometric_mean=mean == "geometric",
            epsilon=pseudocount,
        )
    scale = "linear" if kind == "counts" else "log1p"
    found = compare(values, labels, scale=scale, mean=mean, pseudocount=pseudocount).table()
    assert found.select("target", "target_membership", "ref_membership", "statistic").equals(
        expected.select("target", "target_membership", "ref_membership", "statistic")
    )
    assert (found["feature"] == [f"G{name}" for name in expected["feature"]]).all()
    for column in ("p_value", "fdr", "target_mean", "ref_mean", "log2_fold_change"):
        rounding = 1e-4 if kind == "float32" and column not in ("p_value", "fdr") else 1e-9  # theirs sum 32 bits
        np.testing.assert_allclose(found[column], expected[column], rtol=rounding, atol=rounding)
