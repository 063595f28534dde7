from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.errors import SimulationError
from lingshu_core.simulator import Simulation, SimulationConfig, simulate

SMALL = SimulationConfig(
    genes=140,
    regulators=20,
    program_genes=20,
    cell_types=2,
    knockouts=9,
    knockdowns=2,
    drugs=3,
    doses=(0.3, 3.0),
    combinations=3,
    planted_knockouts=3,
    planted_combinations=1,
    planted_drugs=1,
    control_cells=40,
    cells_per_condition=12,
    truth_draws=32,
    seed=4,
)


@pytest.fixture(scope="module")
def screen() -> Simulation:
    return simulate()


@pytest.fixture(scope="module")
def small() -> Simulation:
    return simulate(SMALL)


def log_counts(simulation: Simulation) -> np.ndarray:
    counts = simulation.cells.X.toarray().astype(float)
    return np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))


def sampled_effects(simulation: Simulation) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Measured conditions with the mean effect in their cells and its squared standard error (conditions, genes)."""
    values, obs = log_counts(simulation), simulation.cells.obs
    truth = simulation.true_effects.obs
    keys = ["cell_type", "perturbation", "dose"]
    rows = {key: np.asarray(index) for key, index in obs.groupby(keys, observed=True).indices.items()}
    measured = truth[truth["measured"]]
    effects, errors = [], []
    for cell_type, perturbation, dose in measured[keys].itertuples(index=False):
        treated = values[rows[cell_type, perturbation, dose]]
        control = values[rows[cell_type, "control", 0.0]]
        effects.append(treated.mean(axis=0) - control.mean(axis=0))
        errors.append(treated.var(axis=0, ddof=1) / len(treated) + control.var(axis=0, ddof=1) / len(control))
    return measured, np.array(effects), np.array(errors)


def test_the_same_seed_gives_the_same_screen(small: Simulation) -> None:
    again, other = simulate(SMALL), simulate(dataclasses.replace(SMALL, seed=5))
    assert (small.cells.X != again.cells.X).nnz == 0
    pd.testing.assert_frame_equal(small.cells.obs, again.cells.obs)
    pd.testing.assert_frame_equal(small.true_effects.obs, again.true_effects.obs)
    np.testing.assert_array_equal(small.true_effects.X, again.true_effects.X)
    assert small.describe() == again.describe()
    assert not np.array_equal(small.true_effects.X, other.true_effects.X)


def test_more_cells_change_neither_network_nor_truth(small: Simulation) -> None:
    more = simulate(dataclasses.replace(SMALL, cells_per_condition=20, control_cells=50))
    assert more.cells.n_obs > small.cells.n_obs
    np.testing.assert_array_equal(more.true_effects.X, small.true_effects.X)
    assert more.program == small.program


def test_the_quickstart_has_the_size_and_look_of_10x_data(screen: Simulation) -> None:
    counts = screen.cells.X
    assert sp.isspmatrix_csr(counts)
    assert counts.dtype == np.uint16
    assert 6_000 <= screen.cells.n_obs <= 8_000
    assert screen.cells.n_vars == 400
    depth = np.asarray(counts.sum(axis=1)).ravel()
    assert 1_700 < np.median(depth) < 2_300
    assert 0.7 < 1.0 - counts.nnz / np.prod(counts.shape) < 0.9
    share = np.sort(np.asarray(counts.sum(axis=0)).ravel() / counts.sum())
    assert share[-40:].sum() > 0.6
    assert share[-1] < 0.3


def test_columns_say_what_was_done_to_each_cell(screen: Simulation) -> None:
    obs = screen.cells.obs
    assert list(obs) == ["perturbation", "perturbation_type", "method", "cell_type", "donor", "batch", "dose"]
    control = obs[obs["perturbation"] == "control"]
    assert len(control) == 250 * 3 * 2
    assert (control.groupby(["cell_type", "donor"], observed=True).size() == 250).all()
    assert set(control["perturbation_type"]) == set(control["method"]) == {"none"}
    assert ((obs["dose"] > 0) == (obs["perturbation_type"] == "drug")).all()
    assert set(obs["dose"]) == {0.0, 0.1, 1.0, 10.0}
    one_meaning = obs.groupby("perturbation", observed=True)[["perturbation_type", "method"]].nunique()
    assert (one_meaning == 1).all(axis=None)
    assert screen.cells.obs_names.is_unique


def test_batches_and_donors_are_not_confounded_with_perturbations(screen: Simulation) -> None:
    perturbed = screen.cells.obs.query("perturbation != 'control'")
    for column in ("batch", "donor"):
        share = pd.crosstab(perturbed["perturbation"], perturbed[column], normalize="index")
        assert share.shape[1] == 2
        assert share.to_numpy().min() > 0.2


def test_unmeasured_conditions_are_in_the_truth_but_not_in_the_cells(screen: Simulation) -> None:
    truth, obs = screen.true_effects.obs, screen.cells.obs
    columns = ["cell_type", "perturbation", "dose"]
    seen = set(obs.loc[obs["perturbation"] != "control", columns].itertuples(index=False, name=None))
    measured = set(truth.loc[truth["measured"], columns].itertuples(index=False, name=None))
    unmeasured = set(truth.loc[~truth["measured"], columns].itertuples(index=False, name=None))
    assert seen == measured
    assert len(unmeasured) > 20
    assert set(truth["perturbation"]) == set(truth.loc[truth["measured"], "perturbation"])
    assert truth.loc[~truth["measured"], "true_hit"].any()


@pytest.mark.parametrize("seed", range(4))
def test_as_many_hits_are_planted_as_promised(seed: int) -> None:
    planted = simulate(dataclasses.replace(SMALL, seed=seed))
    truth = planted.true_effects.obs
    assert truth.loc[truth["true_hit"], "perturbation"].nunique() == SMALL.planted_hits == 6
    assert planted.hits == truth["true_hit"].sum()
    np.testing.assert_array_equal(truth["true_hit"], truth["true_score"] <= planted.hit_threshold)
    gap = truth.loc[~truth["true_hit"], "true_score"].min() - truth.loc[truth["true_hit"], "true_score"].max()
    assert gap >= SMALL.hit_margin
    assert truth["true_score_se"].max() < 0.1 * gap


def test_the_score_is_the_mean_effect_on_the_programme(screen: Simulation) -> None:
    truth = screen.true_effects
    score = truth[:, screen.program].X.mean(axis=1)
    np.testing.assert_allclose(score, truth.obs["true_score"], atol=1e-5)
    assert truth.var_names[truth.var["in_program"]].tolist() == screen.program
    assert truth.var_names.equals(screen.cells.var_names)


def test_sampled_means_agree_with_the_truth_within_their_errors(screen: Simulation) -> None:
    measured, effects, variance = sampled_effects(screen)
    deviation = effects - screen.true_effects[measured.index].X
    well_seen = variance > 1e-3  # a gene with no counts in either group has no error to speak of
    z = deviation[well_seen] / np.sqrt(variance[well_seen])
    assert well_seen.mean() > 0.5
    assert abs(z.mean()) < 0.1
    assert 0.9 < z.std() < 1.1
    scores = effects[:, screen.cells.var_names.get_indexer(screen.program)].mean(axis=1)
    assert np.sqrt(np.mean((scores - measured["true_score"]) ** 2)) < 0.06


def test_expected_expression_is_that_of_the_control_cells_plus_the_effect(screen: Simulation) -> None:
    truth = screen.true_effects
    values, obs = log_counts(screen), screen.cells.obs
    for cell_type in ("type_1", "type_2", "type_3"):
        conditions = truth[truth.obs["cell_type"] == cell_type]
        expected = conditions.layers["expected"] - conditions.X
        np.testing.assert_allclose(expected, expected[:1].repeat(len(expected), axis=0), atol=1e-5)
        sampled = values[((obs["cell_type"] == cell_type) & (obs["perturbation"] == "control")).to_numpy()]
        error = sampled.std(axis=0, ddof=1) / np.sqrt(len(sampled))
        assert (np.abs(sampled.mean(axis=0) - expected[0]) < 5 * error + 0.02).all()


def test_a_knockout_lowers_its_transcript_in_the_cells(screen: Simulation) -> None:
    measured, effects, _ = sampled_effects(screen)
    single = measured["method"].isin(["knockout"]) & ~measured["perturbation"].str.contains("+", regex=False)
    genes = screen.cells.var_names.get_indexer(measured.loc[single, "perturbation"])
    own = effects[np.flatnonzero(single), genes]
    assert (own < 0).mean() > 0.95
    assert own.mean() < -0.4


def additive_scores(simulation: Simulation) -> np.ndarray:
    """Each condition's score as the mean over the cell types in which its perturbation was measured (conditions,)."""
    measured, effects, _ = sampled_effects(simulation)
    program = simulation.cells.var_names.get_indexer(simulation.program)
    sampled = measured.assign(sampled=effects[:, program].mean(axis=1))
    mean = sampled.groupby(["perturbation", "dose"], observed=True)["sampled"].mean()
    truth = simulation.true_effects.obs
    return mean.loc[list(zip(truth["perturbation"], truth["dose"], strict=True))].to_numpy()


@pytest.mark.parametrize("seed", range(5))
def test_an_additive_predictor_finds_most_planted_hits(seed: int) -> None:
    simulation = simulate(SimulationConfig(seed=seed, truth_draws=32))
    hit = simulation.true_effects.obs["true_hit"].to_numpy()
    found = np.argsort(additive_scores(simulation), kind="stable")[: simulation.hits]
    assert hit[found].mean() >= 0.8
    assert hit.mean() < 0.3, "guessing must not do"


def test_written_files_read_back(small: Simulation, tmp_path: Path) -> None:
    files = small.write(tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "cells.h5ad",
        "truth.h5ad",
        "truth.parquet",
        "program.gmt",
        "simulation.json",
    }
    cells, truth = anndata.read_h5ad(files.cells), anndata.read_h5ad(files.truth)
    assert (cells.X != small.cells.X).nnz == 0
    assert cells.X.dtype == np.uint16
    np.testing.assert_array_equal(truth.X, small.true_effects.X)
    table = pd.read_parquet(files.truth_table)
    assert list(table) == ["cell_type", "perturbation", "dose", "true_score", "true_hit", "measured"]
    pd.testing.assert_frame_equal(table, small.truth_table)
    assert table["true_score"].is_monotonic_increasing
    name, _, *genes = files.program.read_text(encoding="utf-8").rstrip("\n").split("\t")
    assert name == "SIMULATED_PROGRAM"
    assert genes == small.program
    description = json.loads(files.description.read_text(encoding="utf-8"))
    assert SimulationConfig(**{**description["config"], "doses": tuple(description["config"]["doses"])}) == SMALL
    assert description["hits"] == small.hits
    assert "not real cells" in description["purpose"]


def test_a_screen_without_drugs_and_combinations_can_be_had() -> None:
    config = dataclasses.replace(
        SMALL, drugs=0, planted_drugs=0, combinations=0, planted_combinations=0, cell_types=1, measured_share=1.0
    )
    simulation = simulate(config)
    assert set(simulation.true_effects.obs["method"]) == {"knockout", "knockdown"}
    assert simulation.true_effects.obs["measured"].all()


def test_hits_too_weak_for_the_margin_are_refused() -> None:
    with pytest.raises(SimulationError, match="raise program_strength"):
        simulate(dataclasses.replace(SMALL, hit_margin=2.0))
