from __future__ import annotations

import numpy as np
import pytest

from lingshu_core.baseline_effects import MeasuredEffects
from lingshu_core.baseline_low_rank import fit_low_rank
from lingshu_core.baseline_neighbours import Choice, DescribedParts
from lingshu_core.baseline_rules import (
    Additive,
    Borrowed,
    ContextMean,
    LowRankRule,
    NearestContext,
    NoChange,
    PerturbationMean,
    choose,
)
from lingshu_core.baseline_statistics import measure_groups
from lingshu_core.baselines import context_effects, nearest_context_effect
from lingshu_core.cells import Cells
from lingshu_core.preparation import build_vocabulary
from lingshu_core.vocabulary import Vocabulary

HERE = {"cell_type": "B cells", "donor": "D1"}


def effects_of(cells: Cells) -> MeasuredEffects:
    words = build_vocabulary(cells)
    return MeasuredEffects(measure_groups(cells, words), words, min_cells=1)


@pytest.fixture(scope="module")
def effects(cells: Cells) -> MeasuredEffects:
    return effects_of(cells)


@pytest.fixture(scope="module")
def singles(cells: Cells) -> MeasuredEffects:
    """Without the combination."""
    return effects_of(cells.select(~cells.matching({"perturbation": "JAK2+STAT1"})))


def own(effects: MeasuredEffects, *names: str, dose: float | None = None) -> np.ndarray:  # type: ignore[type-arg]
    label = effects.number(names)
    assert label is not None
    return effects.of_label(label, dose, HERE)


def test_no_change_is_none(effects: MeasuredEffects) -> None:
    assert not NoChange(effects).change([("STAT1", None)], HERE).any()


def test_the_perturbation_mean_is_the_same_for_all(effects: MeasuredEffects) -> None:
    rule = PerturbationMean(effects)
    first, other = (rule.change([(name, None)], HERE) for name in ("STAT1", "ruxolitinib"))
    np.testing.assert_array_equal(first, other)
    np.testing.assert_array_equal(first, effects.mean(HERE))


def test_the_context_mean_is_that_of_the_context_where_it_was_perturbed(cells: Cells) -> None:
    quiet = {"cell_type": "T cells", "donor": "D2"}
    effects = effects_of(cells.select(~(cells.matching(quiet) & ~cells.is_control)))
    rule = ContextMean(effects)
    np.testing.assert_array_equal(rule.change([("STAT1", None)], quiet), effects.mean(quiet))
    here = effects.mean_in(HERE)
    assert here is not None
    np.testing.assert_array_equal(rule.change([("STAT1", None)], HERE), here)


def test_a_seen_combination_has_its_own_effect(effects: MeasuredEffects) -> None:
    found = Additive(effects).change([("STAT1", None), ("JAK2", None)], HERE)
    np.testing.assert_array_equal(found, own(effects, "STAT1", "JAK2"))


def test_another_combination_is_the_sum_of_its_parts(singles: MeasuredEffects) -> None:
    found = Additive(singles).change([("STAT1", None), ("ruxolitinib", 1.0)], HERE)
    np.testing.assert_allclose(found, own(singles, "STAT1") + own(singles, "ruxolitinib", dose=1.0))


def test_a_part_of_combinations_is_what_it_adds(cells: Cells) -> None:
    effects = effects_of(cells.select(~cells.matching({"perturbation": "JAK2"})))
    found = Additive(effects).change([("JAK2", None)], HERE)
    np.testing.assert_allclose(found, own(effects, "STAT1", "JAK2") - own(effects, "STAT1"))


def test_parts_of_combinations_alone_share_them(cells: Cells) -> None:
    effects = effects_of(cells.select(~cells.matching({"perturbation": ["JAK2", "STAT1"]})))
    found = Additive(effects).change([("JAK2", None)], HERE)
    np.testing.assert_allclose(found, own(effects, "STAT1", "JAK2") / 2)


def test_a_described_part_without_cells_is_the_mean_of_its_type(effects: MeasuredEffects) -> None:
    words = Vocabulary(**{**public(effects.vocabulary), "described": {"TP53": "genetic", "aspirin": "drug"}})
    described = MeasuredEffects(effects.statistics, words, min_cells=1)
    found = Additive(described).change([("TP53", None)], HERE)
    np.testing.assert_array_equal(found, effects.mean(HERE, "genetic"))
    np.testing.assert_array_equal(Additive(described).change([("aspirin", 1.0)], HERE), effects.mean(HERE, "drug"))


def public(vocabulary: Vocabulary) -> dict[str, object]:
    return {name: value for name, value in vars(vocabulary).items() if not name.startswith("_")}


def test_the_nearest_context_is_copied(cells: Cells) -> None:
    """Without STAT1 in B cells of D1, that of the context with the most similar controls is copied."""
    kept = cells.select(~(cells.matching(HERE) & cells.matching({"perturbation": "STAT1"})))
    alone = Cells(
        kept.counts,
        kept.genes,
        kept.obs.assign(place=kept.obs["cell_type"] + kept.obs["donor"]),
        kept.depth,
        ("place",),
        "ctrl",
    )
    effects = effects_of(alone)
    control = alone.log1p_per_10k(alone.is_control & alone.matching({"place": "B cellsD1"}))
    name, expected = nearest_context_effect(context_effects(alone, "STAT1", "place"), control)
    assert name == "B cellsD2"
    found = NearestContext(effects).change([("STAT1", None)], {"place": "B cellsD1"})
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_in_a_measured_context_the_nearest_is_itself(effects: MeasuredEffects) -> None:
    found = NearestContext(effects).change([("STAT1", None)], HERE)
    measured = effects.measured(effects.number(["STAT1"]) or 0, None, HERE)
    number = effects.level(HERE).find(HERE)
    np.testing.assert_array_equal(found, measured.changes[measured.contexts == number][0])


@pytest.fixture
def described(effects: MeasuredEffects) -> tuple[Vocabulary, DescribedParts]:
    """TP53 is like JAK2; the drug has no features."""
    names = {"JAK2": "genetic", "STAT1": "genetic", "TP53": "genetic"}
    words = Vocabulary(**{**public(effects.vocabulary), "described": names})  # type: ignore[arg-type]
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    rows = np.array([{"JAK2": 0, "STAT1": 1}.get(part, -1) for part in words.parts])
    return words, DescribedParts(vectors, np.zeros(3, dtype=np.int64), rows)


@pytest.mark.parametrize(("method", "value"), [("knn", 1.0), ("ridge", 1e-6)])
def test_an_unseen_part_borrows_from_those_alike(
    effects: MeasuredEffects, described: tuple[Vocabulary, DescribedParts], method: str, value: float
) -> None:
    words, parts = described
    rule = Additive(effects, Borrowed(Additive(effects), words, parts, method, {0: Choice(value, 1.0)}))
    found = rule.change([("TP53", None)], HERE)
    share = 1.0 if method == "knn" else 0.9
    np.testing.assert_allclose(found, share * own(effects, "JAK2") + (1 - share) * own(effects, "STAT1"), atol=1e-4)
    both = rule.change([("TP53", None), ("ruxolitinib", 1.0)], HERE)
    np.testing.assert_allclose(both, found + own(effects, "ruxolitinib", dose=1.0), atol=1e-6)
    np.testing.assert_array_equal(rule.change([("STAT1", None)], HERE), own(effects, "STAT1"))


def test_features_are_trusted_by_kind(effects: MeasuredEffects, described: tuple[Vocabulary, DescribedParts]) -> None:
    choices = choose("ridge", Additive(effects), described[1])
    assert set(choices) == {0}


def test_low_rank_takes_loadings_from_features(
    effects: MeasuredEffects, described: tuple[Vocabulary, DescribedParts]
) -> None:
    words, parts = described
    model = fit_low_rank(effects.statistics)
    rule = LowRankRule(effects, model, words, parts, {0: Choice(1e-6, 1.0)})
    expected = 0.9 * rule.shares(("JAK2", None)) + 0.1 * rule.shares(("STAT1", None))
    np.testing.assert_allclose(rule.shares(("TP53", None)), expected, atol=1e-3)
    without = LowRankRule(effects, model, words)
    np.testing.assert_array_equal(without.shares(("TP53", None)), np.zeros(len(model.labels)))
    middle = rule.shares(("ruxolitinib", 10**-0.5))
    ends = [rule.shares(("ruxolitinib", dose)) for dose in (0.1, 1.0)]
    np.testing.assert_allclose(middle, np.mean(ends, axis=0))
    np.testing.assert_array_equal(rule.shares(("ruxolitinib", 1e9)), rule.shares(("ruxolitinib", 10.0)))
    np.testing.assert_allclose(rule.shares(("ruxolitinib", None)).sum(), 1.0)


def test_low_rank_sums_the_parts_of_a_new_combination(cells: Cells) -> None:
    effects = effects_of(cells.select(~cells.matching({"perturbation": "JAK2+STAT1"})))
    rule = LowRankRule(effects, fit_low_rank(effects.statistics), effects.vocabulary)
    parts = [("STAT1", None), ("JAK2", None)]
    found = rule.change(parts, HERE)
    np.testing.assert_allclose(found, sum(rule.change([part], HERE) for part in parts))


def test_low_rank_shares_the_loading_of_a_combination(cells: Cells) -> None:
    effects = effects_of(cells.select(~cells.matching({"perturbation": "JAK2"})))
    rule = LowRankRule(effects, fit_low_rank(effects.statistics), effects.vocabulary)
    np.testing.assert_allclose(
        rule.shares(("JAK2", None)), (rule.model.labels == effects.number(["STAT1", "JAK2"])) / 2
    )
