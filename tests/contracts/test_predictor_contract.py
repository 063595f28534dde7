"""What everything that predicts has to do, the cell model and every baseline: the suite that a screen relies on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lingshu_core.baseline_checkpoint import BaselineProvenance, save_baseline
from lingshu_core.baseline_models import BASELINE_KINDS, fit_baseline
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.conditioning import Condition
from lingshu_core.errors import ConditionError, ConfigurationError
from lingshu_core.estimator import ShardRequest
from lingshu_core.perturbation_features import FeatureBlock, PerturbationFeatures, combine
from lingshu_core.predictor import StoredPredictor, open_predictor
from lingshu_core.preparation import build_vocabulary
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings

HERE = {"cell_type": "type_1", "donor": "donor_1"}
KINDS = ("lingshu", *BASELINE_KINDS)
ASKED = (
    Condition(HERE, (("REG04", None),)),
    Condition({"cell_type": "type_2"}, (("REG08", None),)),
    Condition({}, (("REG05", None),)),
    Condition(HERE, (("REG04", None), ("REG08", None))),
    Condition(HERE, (("REG04", None), ("REG10", None))),
    Condition(HERE, (("DRUG01", 0.3),)),
    Condition(HERE, (("DRUG02", None),)),
)
"""Seen, averaged over factors, a combination that was seen and one that wasn't, a dose between two and no dose."""


@pytest.fixture(scope="module")
def cells(tiny: Path) -> Cells:
    columns = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
    return read_cells(CellSource(str(tiny / "cells.h5ad"), {name: name for name in columns}))


@pytest.fixture(scope="module")
def features() -> PerturbationFeatures:
    names = tuple(f"REG{number:02}" for number in range(1, 11))
    values = np.random.default_rng(0).normal(size=(10, 4))
    return combine([FeatureBlock(names, values, "table", "genetic")])


@pytest.fixture(scope="module", params=KINDS)
def predictor(
    request: pytest.FixtureRequest,
    tiny: Path,
    cells: Cells,
    features: PerturbationFeatures,
    tmp_path_factory: pytest.TempPathFactory,
) -> StoredPredictor:
    if request.param == "lingshu":
        return open_predictor(str(tiny / "model"))
    settings = {}
    if request.param == "scvi":
        pytest.importorskip("scvi", reason="the extra scvi is not installed")
        settings = {"epochs": 3, "device": "cpu"}
    folder = str(tmp_path_factory.mktemp(request.param))
    baseline = fit_baseline(request.param, cells, build_vocabulary(cells, features), features, **settings)
    save_baseline(folder, baseline, BaselineProvenance("cells.h5ad", cells.digest(), len(cells), "none", "none"))
    return open_predictor(folder)


@pytest.fixture
def asked() -> Callable[..., ShardRequest]:
    def ask(condition: Condition, shard: int = 0, cells: int = 8, seed: int = 0) -> ShardRequest:
        root = RandomRoot(seed, str(sorted(condition.context.items())), "controls")
        return ShardRequest(condition, root, shard, cells, RevealSettings(3, "geometric", 0.0))

    return ask


@pytest.mark.parametrize("condition", ASKED, ids=str)
def test_the_same_request_gives_the_same_moments(
    predictor: StoredPredictor, asked: Callable[..., ShardRequest], condition: Condition
) -> None:
    first = predictor.estimate(asked(condition))
    predictor.estimate(asked(condition, shard=1))
    again = predictor.estimate(asked(condition))
    np.testing.assert_array_equal(first.moments, again.moments)
    np.testing.assert_array_equal(first.depth, again.depth)


@pytest.mark.parametrize("kind", ["variance_reduced", "sampled"])
@pytest.mark.parametrize("condition", [*ASKED, Condition(HERE)], ids=str)
def test_moments_are_possible(
    predictor: StoredPredictor, asked: Callable[..., ShardRequest], condition: Condition, kind: str
) -> None:
    found = predictor.estimate(asked(condition), kind)  # type: ignore[arg-type]
    log1p, log1p_square, count, count_square = found.moments.astype(float)
    assert found.moments.shape == (4, len(predictor.vocabulary.genes))
    assert found.moments.dtype == np.float32
    assert (log1p >= 0).all()
    assert (count >= 0).all()
    assert (log1p_square >= np.square(log1p) * (1 - 1e-5) - 1e-6).all()
    assert (count_square >= np.square(count) * (1 - 1e-5) - 1e-6).all()
    assert (count_square >= count * (1 - 1e-4) - 1e-4).all()
    assert found.depth.shape == (8,)
    assert (found.depth > 0).all()
    assert (found.counts is None) == (kind == "variance_reduced")
    if found.counts is not None:
        assert found.counts.shape == (8, len(predictor.vocabulary.genes))
        small = found.counts[found.counts < 100]  # the model's large tokens stand for ranges of counts
        np.testing.assert_array_equal(small, np.round(small))


def test_the_control_is_predicted_as_the_control(
    predictor: StoredPredictor, cells: Cells, asked: Callable[..., ShardRequest]
) -> None:
    found = np.mean([predictor.estimate(asked(Condition(HERE), shard=shard)).moments for shard in range(16)], axis=0)
    controls = cells.is_control & cells.matching(HERE)
    real = cells.log1p_per_10k(controls)
    assert np.corrcoef(found[0], real)[0, 1] > 0.9
    if predictor.header.card["model"] == "baseline":
        np.testing.assert_allclose(found[0], real, rtol=1e-5)
        np.testing.assert_allclose(found[2], np.asarray(cells.counts[controls].mean(axis=0)).ravel(), rtol=1e-5)


@pytest.mark.parametrize("condition", [ASKED[0], ASKED[4], Condition(HERE)], ids=str)
def test_sampled_means_agree_with_the_expected_ones(
    predictor: StoredPredictor, asked: Callable[..., ShardRequest], condition: Condition
) -> None:
    shards = range(24)
    drawn = np.stack([predictor.estimate(asked(condition, shard), "sampled").moments for shard in shards])
    expected = np.mean([predictor.estimate(asked(condition, shard)).moments for shard in shards], axis=0)
    error = drawn[:, 2].std(axis=0, ddof=1) / np.sqrt(len(shards))
    # Depth strata leave little noise in an abundant gene, and a few controls stand for the context.
    assert (np.abs(drawn[:, 2].mean(axis=0) - expected[2]) <= 5 * error + 0.05 * expected[2] + 0.05).all()
    assert drawn[:, 2].mean(axis=0).sum() == pytest.approx(expected[2].sum(), rel=0.08)


def test_a_condition_and_its_control_share_their_random_numbers(
    predictor: StoredPredictor, asked: Callable[..., ShardRequest]
) -> None:
    def counts(condition: Condition, seed: int) -> np.ndarray:  # type: ignore[type-arg]
        found = predictor.estimate(asked(condition, cells=32, seed=seed), "sampled").counts
        assert found is not None
        return found

    condition = ASKED[0]
    paired = np.abs(counts(condition, 0) - counts(condition.as_control(), 0)).mean()
    unpaired = np.abs(counts(condition, 0) - counts(condition.as_control(), 1)).mean()
    assert paired < unpaired


def test_the_order_of_parts_is_nothing(predictor: StoredPredictor, asked: Callable[..., ShardRequest]) -> None:
    condition = ASKED[4]
    turned = replace(condition, parts=condition.parts[::-1])
    found = [predictor.estimate(asked(each)).moments for each in (condition, turned)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (Condition(HERE, (("NOPE", None),)), "never trained on perturbation 'NOPE'"),
        (Condition({"cell_type": "type_9"}), "never trained on cell_type 'type_9'|knows no control cell"),
        (Condition({"plate": "A"}), "no context factor 'plate'|knows no control cell"),
    ],
)
def test_what_there_are_no_words_for_is_refused(
    predictor: StoredPredictor, asked: Callable[..., ShardRequest], condition: Condition, message: str
) -> None:
    with pytest.raises(ConditionError, match=message):
        predictor.estimate(asked(condition))


def test_an_unknown_estimator_is_refused(predictor: StoredPredictor, asked: Callable[..., ShardRequest]) -> None:
    with pytest.raises(ConfigurationError, match="unknown estimator 'exact'"):
        predictor.estimate(asked(ASKED[0]), "exact")  # type: ignore[arg-type]


def test_it_says_what_it_is(predictor: StoredPredictor) -> None:
    assert len(predictor.header.digest) == 64
    assert predictor.device == "cpu"
    assert predictor.weight_bytes > 0
    assert predictor.header.vocabulary == predictor.vocabulary
    assert predictor.with_structures({}).vocabulary == predictor.vocabulary


def test_a_drug_without_features_can_not_be_given_by_its_structure(predictor: StoredPredictor) -> None:
    with pytest.raises(ConditionError, match="can't read structures"):
        predictor.with_structures({"caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"})


def test_a_baseline_has_no_monte_carlo_error(predictor: StoredPredictor, asked: Callable[..., ShardRequest]) -> None:
    found = [predictor.estimate(asked(ASKED[0], shard, seed=seed)).moments for shard, seed in ((0, 0), (7, 0), (0, 3))]
    same = [np.array_equal(each, found[0]) for each in found[1:]]
    assert all(same) if predictor.header.card["model"] == "baseline" else not any(same)


def test_an_unseen_perturbation_goes_by_its_features(
    predictor: StoredPredictor, asked: Callable[..., ShardRequest]
) -> None:
    condition = Condition(HERE, (("REG01", None),))
    if "REG01" not in predictor.vocabulary.described:
        with pytest.raises(ConditionError):
            predictor.estimate(asked(condition))
        return
    found = predictor.estimate(asked(condition)).moments[0]
    control = predictor.estimate(asked(condition.as_control())).moments[0]
    assert np.array_equal(found, control) == (predictor.header.card["kind"] == "no_change")
