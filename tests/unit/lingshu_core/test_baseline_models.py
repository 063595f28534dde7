from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from campaigns.training_spec import NEED_FEATURES as SPEC_NEEDS
from campaigns.training_spec import BaselineKind
from lingshu_core.baseline_models import BASELINE_KINDS, NEED_FEATURES, BaselinePredictor, fit_baseline
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.drug_features import fingerprints
from lingshu_core.errors import ConditionError, ConfigurationError
from lingshu_core.estimator import ShardRequest
from lingshu_core.perturbation_features import FeatureBlock, PerturbationFeatures, combine
from lingshu_core.preparation import build_vocabulary
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.vocabulary import Vocabulary

HERE = {"cell_type": "B cells", "donor": "D1"}
STAT1 = Condition(HERE, (("STAT1", None),))
ASPIRIN, CAFFEINE = "CC(=O)OC1=CC=CC=C1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
RUXOLITINIB = "N#CCC(C1CCCC1)n1cc(cn1)-c1ncnc2[nH]ccc12"


@pytest.fixture(scope="module")
def features() -> PerturbationFeatures:
    values = np.random.default_rng(0).normal(size=(3, 4))
    return combine([FeatureBlock(("STAT1", "JAK2", "TP53"), values, "table", "genetic")])


def effect(baseline: BaselinePredictor, condition: Condition) -> np.ndarray:  # type: ignore[type-arg]
    return baseline.moments(condition)[0] - baseline.moments(condition.as_control())[0]


def request(condition: Condition, **changes: object) -> ShardRequest:
    fields = {"root": RandomRoot(0, "here", "x"), "shard": 0, "cells": 6, "settings": RevealSettings(3, "geometric", 0)}
    return ShardRequest(**{"condition": condition, **fields, **changes})  # type: ignore[arg-type]


def test_a_context_that_was_held_out_is_predicted_from_the_others(cells: Cells) -> None:
    held = cells.matching(HERE) & cells.matching({"perturbation": "STAT1"})
    kept = cells.select(~held)
    words = build_vocabulary(kept)
    real = real_effect(cells, held, cells.matching(HERE) & cells.is_control)
    found = {kind: effect(fit_baseline(kind, kept, words), STAT1) for kind in ("no_change", "additive", "low_rank")}
    errors = {kind: float(np.square(each - real).mean()) for kind, each in found.items()}
    assert errors["additive"] < 0.7 * errors["no_change"]
    assert errors["low_rank"] < 0.8 * errors["no_change"]


def test_settings_are_those_asked_for(cells: Cells, vocabulary: Vocabulary) -> None:
    baseline = fit_baseline("additive", cells, vocabulary, weighting="cells", min_cells=3)
    assert (baseline.settings.weighting, baseline.settings.min_cells) == ("cells", 3)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("aditive", {}, "there is no baseline 'aditive'; there are: no_change, "),
        ("additive", {"rank": 3}, "additive has no setting 'rank'; there are: weighting, min_cells"),
        ("additive", {"weighting": "genes"}, "weighting is contexts or cells"),
        ("additive", {"min_cells": 0}, "min_cells at least 1"),
        ("ridge", {}, "ridge predicts from features, and there are none"),
        ("knn", {}, "knn predicts from features, and there are none"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cells: Cells, vocabulary: Vocabulary, kind: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fit_baseline(kind, cells, vocabulary, **settings)


def test_genes_can_not_be_pre_filled(cells: Cells, vocabulary: Vocabulary) -> None:
    baseline = fit_baseline("additive", cells, vocabulary)
    with pytest.raises(ConfigurationError, match="additive can't pre-fill genes"):
        baseline.estimate(request(STAT1, injected=(3,)))


def test_a_dose_of_zero_is_the_control(cells: Cells, vocabulary: Vocabulary) -> None:
    baseline = fit_baseline("additive", cells, vocabulary)
    nothing = Condition(HERE, (("ruxolitinib", 0.0),))
    np.testing.assert_array_equal(baseline.moments(nothing), baseline.moments(Condition(HERE)))


def test_a_known_prediction_is_not_made_again(cells: Cells, vocabulary: Vocabulary) -> None:
    baseline = fit_baseline("additive", cells, vocabulary)
    assert baseline.moments(STAT1) is baseline.moments(Condition(dict(reversed(HERE.items())), STAT1.parts))
    for dose in np.linspace(0.1, 9, 100):
        baseline.moments(Condition(HERE, (("ruxolitinib", float(dose)),)))
    assert len(baseline._known) == 64


def test_values_that_never_met_start_from_all_controls(cells: Cells) -> None:
    kept = cells.select(~cells.matching(HERE))
    baseline = fit_baseline("additive", kept, build_vocabulary(kept))
    found = baseline.estimate(request(Condition(HERE)))
    np.testing.assert_allclose(found.moments[0], kept.log1p_per_10k(kept.is_control), rtol=1e-5)
    assert baseline.estimate(request(Condition(HERE)), "sampled").counts is not None


@pytest.mark.parametrize("kind", ["additive", "nearest_context", "perturbation_mean", "context_mean"])
def test_features_only_name_what_can_be_asked_of_the_others(
    cells: Cells, features: PerturbationFeatures, kind: str
) -> None:
    baseline = fit_baseline(kind, cells, build_vocabulary(cells, features), features)
    assert baseline.fitted.described is None
    unseen = Condition(HERE, (("TP53", None),))
    assert effect(baseline, unseen).any()
    with pytest.raises(ConditionError, match="never trained on perturbation 'TP53'"):
        fit_baseline(kind, cells, build_vocabulary(cells)).moments(unseen)


def test_ridge_and_knn_know_the_unseen_by_their_features(cells: Cells, features: PerturbationFeatures) -> None:
    for kind in NEED_FEATURES:
        baseline = fit_baseline(kind, cells, build_vocabulary(cells, features), features)
        assert set(baseline.fitted.choices) == {0}
        known = fit_baseline("additive", cells, baseline.vocabulary)
        np.testing.assert_array_equal(baseline.moments(STAT1), known.moments(STAT1))
        assert effect(baseline, Condition(HERE, (("TP53", None),))).any()


def drug_features(drugs: dict[str, str]) -> PerturbationFeatures:
    values = np.asarray(fingerprints(list(drugs.values()), 64), dtype=float)
    return combine([FeatureBlock(tuple(drugs), values, "smiles", "drug", "drugs.tsv", dimensions=64)])


@pytest.mark.parametrize("kind", ["knn", "low_rank", "additive", "no_change"])
def test_a_drug_can_come_with_its_structure(cells: Cells, kind: str) -> None:
    """It is predicted as if the table had listed it."""
    tables = [{"ruxolitinib": RUXOLITINIB, "aspirin": ASPIRIN}]
    tables.append(tables[0] | {"new": CAFFEINE})
    known, listed = (
        fit_baseline(kind, cells, build_vocabulary(cells, table), table) for table in map(drug_features, tables)
    )
    asked = Condition(HERE, (("new", 1.0),))
    with pytest.raises(ConditionError, match="never trained on perturbation 'new'"):
        known.moments(asked)
    given = known.with_structures({"new": CAFFEINE, "aspirin": CAFFEINE})
    np.testing.assert_allclose(given.moments(asked), listed.moments(asked), rtol=1e-5)
    assert given.vocabulary.feature_row("aspirin") == known.vocabulary.feature_row("aspirin")
    assert known.with_structures({"aspirin": CAFFEINE}) is known


def test_an_atlas_has_no_change_to_learn(cells: Cells) -> None:
    controls = cells.select(cells.is_control)
    words = build_vocabulary(controls)
    for kind in ("no_change", "perturbation_mean", "context_mean", "additive", "low_rank"):
        baseline = fit_baseline(kind, controls, words)
        np.testing.assert_allclose(
            baseline.moments(Condition(HERE))[0], controls.log1p_per_10k(controls.matching(HERE)), rtol=1e-5
        )


def test_the_spec_and_the_baselines_agree() -> None:
    assert set(BASELINE_KINDS) == set(get_args(BaselineKind))
    assert SPEC_NEEDS == NEED_FEATURES
