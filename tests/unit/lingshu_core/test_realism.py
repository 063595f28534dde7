from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from threadpoolctl import threadpool_info, threadpool_limits

import lingshu_core.realism
from lingshu_core.realism import (
    classifier_auc,
    correlation_error,
    gene_wasserstein,
    integration_lisi,
    most_variable,
    perplexity_weights,
    realism,
    total_variation,
)

GENES = 60


def _cells(seed: int, cells: int = 240, together: bool = True, depth: float = 1.0) -> sp.csr_matrix:
    """Two kinds of cells; `together`: genes of a kind go up and down with each other."""
    rng = np.random.default_rng(seed)
    rate = np.tile(np.geomspace(0.2, 8.0, GENES), (cells, 1))
    kind = rng.random((cells, 1 if together else GENES)) < 0.4
    rate = np.where(kind & (np.arange(GENES) % 3 == 0), 12 * rate, rate)
    return sp.csr_matrix(rng.poisson(rate * depth * rng.lognormal(sigma=0.2, size=(cells, 1))).astype(np.float32))


def test_cells_of_the_same_kind_are_alike() -> None:
    found = realism(_cells(0), _cells(1), _cells(2))
    assert found.pearson > 0.99
    assert found.spearman > 0.98
    assert found.ilisi > 0.85
    assert found.mmd < 0.02
    assert 0.4 < found.classifier_auc < 0.6
    assert abs(found.depth_mean_error) < 0.1
    assert abs(found.zeros_error) < 0.02


def test_genes_that_no_longer_go_together_are_found_though_their_means_agree() -> None:
    alike, apart = realism(_cells(0), _cells(1), _cells(2)), realism(_cells(0, together=False), _cells(1), _cells(2))
    assert apart.pearson > 0.98
    assert apart.correlation_error > 2 * alike.correlation_error
    assert apart.classifier_auc > 0.8
    assert apart.ilisi < alike.ilisi


def test_a_wrong_depth_is_found() -> None:
    found = realism(_cells(0, depth=0.5), _cells(1), _cells(2))
    assert found.depth_mean_error == pytest.approx(-0.5, abs=0.05)
    assert found.depth_sd_error < -0.3
    assert found.zeros_error > 0.05
    assert found.classifier_auc > 0.9


def test_lisi_is_nothing_for_clouds_that_are_apart() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    assert integration_lisi(first, second) > 0.85
    assert integration_lisi(first, second + 100) == pytest.approx(0.0, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(2.0, 20.0))
def test_the_weights_have_the_perplexity_asked_for(seed: int, perplexity: float) -> None:
    distance = np.sort(np.random.default_rng(seed).gamma(2.0, size=(5, 60)), axis=1)
    weights = perplexity_weights(distance, perplexity)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1)
    assert np.exp(entropy) == pytest.approx(perplexity, rel=1e-3)


@pytest.mark.parametrize("cells", [40, 50])
def test_the_distance_of_genes_is_that_of_scipy_over_all_genes(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingshu_core.realism, "GENES_AT_A_TIME", 13)
    first, second = _cells(0, 50), _cells(1, cells)
    keep = sp.diags((np.arange(GENES) != 5).astype(np.float32))
    second = sp.csr_matrix(second @ keep)  # a gene that only one side has
    second.eliminate_zeros()
    expected = [
        stats.wasserstein_distance(first.toarray()[:, gene], second.toarray()[:, gene]) for gene in range(GENES)
    ]
    assert gene_wasserstein(first, second) == pytest.approx(np.mean(expected))


def test_variable_genes_come_first() -> None:
    counts = sp.csr_matrix(np.array([[0.0, 3.0, 1.0], [9.0, 3.0, 2.0]]))
    assert most_variable(counts, 2).tolist() == [0, 2]


def test_a_classifier_finds_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(400, 3))
    assert 0.4 < classifier_auc(cloud[:200], cloud[200:]) < 0.6
    assert classifier_auc(cloud[:200], cloud[200:] + 3) > 0.95


def test_the_classifier_has_one_thread_and_gives_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = np.random.default_rng(0).normal(size=(400, 8))
    with threadpool_limits(2, user_api="openmp"):
        before = _openmp_threads()
        inside: list[set[int]] = []
        asked = lingshu_core.realism.cross_val_predict
        monkeypatch.setattr(
            "lingshu_core.realism.cross_val_predict",
            lambda *args, **more: inside.append(_openmp_threads()) or asked(*args, **more),
        )
        classifier_auc(cloud[:200], cloud[200:])
        assert inside == [{1}]
        assert _openmp_threads() == before == {2}


def _openmp_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}


def test_correlations_are_compared_where_genes_vary() -> None:
    rng = np.random.default_rng(2)
    cells = rng.normal(size=(300, 5))
    cells[:, 4] = 1.0
    assert correlation_error(cells, cells) == 0
    assert correlation_error(cells, -cells[:, ::-1][:, [1, 2, 3, 4, 0]]) < 0.2


def test_correlations_of_genes_that_do_not_vary_are_no_number() -> None:
    cells = np.ones((20, 3))
    assert np.isnan(correlation_error(cells, cells))


def test_shares_of_labels() -> None:
    assert total_variation(np.array(["a", "a", "b"]), np.array(["b", "a", "a"])) == 0
    assert total_variation(np.array(["a", "a"]), np.array(["b"])) == 1
    assert total_variation(np.array(["a", "b"]), np.array(["a"])) == 0.5
