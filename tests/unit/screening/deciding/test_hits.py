import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from campaigns.conditions import Perturbation, PerturbationPart
from campaigns.data_spec import NO_FACTORS, is_reserved
from lingshu_core.prior_genes import LoweredGenes, PriorGenes, PriorInjection
from lingshu_core.vocabulary import Vocabulary
from screening.deciding import hits
from screening.deciding.hits import (
    COLUMNS,
    TOP_GENES,
    RunFacts,
    Scored,
    _extremes,
    extra_columns,
    hit_table,
    own_targets,
    score_folded,
)
from screening.folding.aggregation import Folded
from screening.folding.effects import Moments, pool_members
from screening.objective.objectives import Readout, signed_readout

MakeMoments = Callable[..., Moments]
MakeFold = Callable[..., Folded]
ScoreOne = Callable[..., Scored]
DOWN = signed_readout(("A", "B", "C", "D"), {"A": -1, "B": -1, "D": -1}, "A, B, D down")


@pytest.fixture
def score_one(words: Vocabulary, facts: RunFacts, fold_of: MakeFold, moments: MakeMoments) -> ScoreOne:
    """Score a condition whose means lie `shift` above those of its control."""

    def make(
        label: str = "A",
        shift: tuple[float, ...] = (-1.0, -0.5, 0.0, -0.25),
        readout: Readout = DOWN,
        exclude: bool = True,
        **condition: object,
    ) -> Scored:
        control = moments([2.0] * 4, seed=1)
        found = replace(control, log1p=control.log1p + np.asarray(shift))
        folded = fold_of(label, found, control, **condition)
        return score_folded(folded, readout, words, facts, exclude_own_targets=exclude)

    return make


def row(label: str, score: float | None, context: str = "T") -> dict[str, object]:
    status = {"status": "failed", "reason": "it broke"} if score is None else {"status": "done", "score": score}
    return {"perturbation": label, "context": context, **status}


def test_the_best_score_comes_first() -> None:
    table = hit_table([row("A", 0.1), row("B", 0.3), row("C", -0.2)], {})
    assert table["perturbation"].to_list() == ["B", "A", "C"]
    assert table["rank"].to_list() == [1, 2, 3]


def test_a_table_of_many_parts_is_the_table_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"P{number}", None if number % 5 == 0 else float(number % 3)) for number in range(23)]
    whole = hit_table(rows, {})
    monkeypatch.setattr(hits, "ROWS_AT_A_TIME", 4)
    assert hit_table(iter(rows), {}).equals(whole, null_equal=True)
    assert hit_table(iter(()), {}).schema == whole.schema


def test_ties_are_ordered_by_label_and_context() -> None:
    rows = [row("B", 0.1, "T"), row("A", 0.1, "U"), row("A", 0.1, "T")]
    table = hit_table(rows, {})
    assert list(zip(table["perturbation"], table["context"], strict=True)) == [("A", "T"), ("A", "U"), ("B", "T")]
    assert table["rank"].to_list() == [1, 2, 3]


def test_failed_conditions_come_last_with_their_reason() -> None:
    table = hit_table([row("A", None), row("B", -9.0), row("C", None), row("D", 0.0)], {})
    assert table["perturbation"].to_list() == ["D", "B", "A", "C"]
    assert table["rank"].to_list() == [1, 2, None, None]
    assert table["rank_in_context"].to_list() == [1, 2, None, None]
    assert table["reason"].to_list() == [None, None, "it broke", "it broke"]


def test_ranks_within_contexts_count_each_context_by_itself() -> None:
    table = hit_table([row("A", 3.0, "T"), row("B", 2.0, "U"), row("A", 1.0, "U"), row("B", None, "T")], {})
    assert table["rank"].to_list() == [1, 2, 3, None]
    assert table["rank_in_context"].to_list() == [1, 1, 2, None]


@given(
    scores=st.lists(st.one_of(st.none(), st.floats(-2, 2).map(lambda x: round(x, 1))), min_size=1, max_size=12),
    random=st.randoms(use_true_random=False),
)
def test_the_table_does_not_depend_on_the_order_of_its_rows(scores: list[float | None], random: object) -> None:
    rows = [row(f"P{i}", score, f"C{i % 3}") for i, score in enumerate(scores)]
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    table = hit_table(rows, {})
    assert hit_table(shuffled, {}).equals(table, null_equal=True)
    done = table.filter(pl.col("status") == "done")
    assert done["score"].to_list() == sorted(done["score"].to_list(), reverse=True)
    assert done["rank"].to_list() == list(range(1, done.height + 1))


def test_every_column_is_there_typed_and_documented(score_one: ScoreOne) -> None:
    extra = extra_columns(("cell_type", "donor"), ("A",))
    table = hit_table([score_one().row], extra)
    assert table.columns == [*COLUMNS, "cell_type", "donor", "effect[A]", "effect_se[A]", "effect_sd[A]"]
    assert [table.schema[name] for name in COLUMNS] == [kind for kind, _ in COLUMNS.values()]
    assert all(len(meaning) > 8 for _, meaning in COLUMNS.values())
    without_value = [name for name in COLUMNS if table[name][0] is None]
    told = ("decision", "decision_reason")
    of_the_null = [*("posterior_mean", "low_50", "high_50", "low_90", "high_90"), *_NULL]
    allocated = ["allocation", "shards_drawn", "allocation_low", "allocation_high"]
    assert without_value == ["rank_low", "rank_high", "reason", *told, "dose", "score_sd", *of_the_null, *allocated]


def test_what_an_allocation_chose_comes_before_what_it_stopped(score_one: ScoreOne) -> None:
    words = ("stopped at rung 1", "finalist", "stopped at rung 2", "finalist")
    rows = [
        score_one().row | {"perturbation": f"P{number}", "score": 4.0 - number, "allocation": word}
        for number, word in enumerate(words)
    ]
    table = hit_table(rows, extra_columns(("cell_type", "donor"), ()))
    assert table["perturbation"].to_list() == ["P1", "P3", "P2", "P0"]
    assert table["rank"].to_list() == table["rank_in_context"].to_list() == [1, 2, 3, 4]


_NULL = ("null_blocks", "null_centre", "null_sd", "minimum_effect", "p_null", "e_value", "q_value")


def test_no_row_has_a_column_that_the_table_does_not(
    score_one: ScoreOne, fold_of: MakeFold, words: Vocabulary, facts: RunFacts
) -> None:
    known = {*COLUMNS, *extra_columns(words.factors, ())}
    failed = score_folded(fold_of("A", None, None, reason="x"), DOWN, words, facts, exclude_own_targets=True)
    assert set(score_one().row) <= known
    assert set(failed.row) <= known


def test_a_row_says_what_was_found(score_one: ScoreOne) -> None:
    scored = score_one("B", exclude=False)
    assert scored.score is not None
    found = scored.row
    assert found["effect"] == pytest.approx((1.0 + 0.5 + 0.25) / 3)
    assert found["score"] == pytest.approx(found["effect"] / 0.5)  # control deviation √0.25
    assert (found["score"], found["score_se"]) == (scored.score.score, scored.score.score_se)
    assert found["top_down"] == "A -1.00, B -0.50, D -0.25"
    assert found["top_up"] == ""
    assert (found["cells"], found["shards"], found["status"]) == (32, 8, "done")
    assert found["score_unit"] == "control standard deviations"
    assert (found["model_digest"], found["run_id"], found["steps"], found["paths"]) == ("model", "run", 3, "bias+tilt")


def test_the_interval_is_students_over_shards(
    words: Vocabulary, facts: RunFacts, fold_of: MakeFold, moments: MakeMoments
) -> None:
    folded = fold_of("B", moments([1.0] * 4, seed=1), moments([2.0] * 4, seed=2))
    found = score_folded(folded, DOWN, words, facts, exclude_own_targets=True).row
    margin = stats.t.ppf(0.95, 7) * found["score_se"]
    assert found["score_se"] > 0
    assert found["score_low"] == pytest.approx(found["score"] - margin)
    assert found["score_high"] == pytest.approx(found["score"] + margin)


def test_an_ensemble_has_a_spread_of_its_own(
    words: Vocabulary, facts: RunFacts, fold_of: MakeFold, moments: MakeMoments
) -> None:
    control = moments([2.0] * 4, spread=0.0)
    pairs = tuple((replace(control, log1p=control.log1p - [0.0, shift, 0.0, 0.0]), control) for shift in (0.2, 0.6))
    pooled = pool_members([pairs[0][0], pairs[1][0]])
    folded = replace(fold_of("B", pooled, control), members=pairs)
    readout = replace(signed_readout(words.genes, {"B": -1}, ""), marker_genes=("B",))
    scored = score_folded(folded, readout, words, facts, exclude_own_targets=False)
    assert scored.row["members"] == 2
    assert scored.row["effect"] == pytest.approx(0.4)
    assert scored.row["score"] == pytest.approx(0.8)  # control deviation √0.25
    assert scored.row["score_sd"] == pytest.approx(np.std([0.4, 1.2], ddof=1))
    assert scored.row["score_se"] == pytest.approx(0.0, abs=1e-9)
    assert scored.row["effect_sd[B]"] == pytest.approx(np.std([0.2, 0.6], ddof=1))
    assert (scored.row["cells"], scored.row["shards"]) == (64, 8)


def test_own_targets_are_left_out_of_a_genetic_perturbation(score_one: ScoreOne) -> None:
    with_targets, without = score_one("A", exclude=False).row, score_one("A").row
    assert (with_targets["genes_used"], with_targets["targets_left_out"]) == (3, "")
    assert (without["genes_used"], without["targets_left_out"]) == (2, "A")
    assert without["effect"] == pytest.approx((0.5 + 0.25) / 2)
    assert without["on_target_effect"] == with_targets["on_target_effect"] == pytest.approx(-1.0)
    assert score_one("A+B").row["targets_left_out"] == "A+B"
    assert score_one("A+B").row["on_target_effect"] == pytest.approx(-0.75)


def test_the_target_of_a_drug_stays_in(score_one: ScoreOne, words: Vocabulary) -> None:
    everything = signed_readout(words.genes, {"C": 1, "D": -1}, "")
    found = score_one("C", kind="drug", dose=0.1, readout=everything).row
    assert (found["genes_used"], found["targets_left_out"], found["on_target_effect"]) == (2, "", None)
    assert (found["perturbation"], found["perturbation_type"], found["dose"]) == ("C@0.1", "drug", 0.1)


def test_own_targets_are_found_by_name_and_type(words: Vocabulary) -> None:
    assert own_targets(Perturbation.parse("B+A", "genetic"), words).tolist() == [0, 1]
    assert own_targets(Perturbation.parse("ELSEWHERE", "genetic"), words).tolist() == []
    assert own_targets(Perturbation.parse("C", "drug", 1.0), words).tolist() == []
    assert own_targets(Perturbation.parse("A", "cytokine"), words).tolist() == []


def test_a_condition_whose_targets_are_the_whole_objective_failed_alone(score_one: ScoreOne, words: Vocabulary) -> None:
    only_a = signed_readout(words.genes, {"A": -1}, "")
    scored = score_one("A", readout=only_a)
    assert (scored.score, scored.effect, scored.row["status"]) == (None, None, "failed")
    assert "own targets (A)" in scored.row["reason"]
    assert score_one("B", readout=only_a).row["status"] == "done"


def test_a_failed_condition_keeps_its_name_and_reason(words: Vocabulary, facts: RunFacts, fold_of: MakeFold) -> None:
    scored = score_folded(fold_of("A", None, None, reason="NaN"), DOWN, words, facts, exclude_own_targets=True)
    assert (scored.row["status"], scored.row["reason"], scored.row["perturbation"]) == ("failed", "NaN", "A")
    assert (scored.effect, scored.score) == (None, None)
    assert "score" not in scored.row


def test_training_cells_are_counted_here_and_everywhere(score_one: ScoreOne) -> None:
    def seen(label: str, **context: str) -> tuple[int, int]:
        found = score_one(label, **context).row
        return found["training_cells"], found["training_cells_all"]

    assert seen("A", cell_type="T cells") == (15, 15)
    assert seen("A", cell_type="T cells", donor="D2") == (5, 15)
    assert seen("A", cell_type="B cells") == (0, 15)
    assert seen("A+B", cell_type="T cells") == (3, 3)


def test_the_depth_ratio_is_the_measured_one_or_that_of_the_parts(score_one: ScoreOne, words: Vocabulary) -> None:
    assert score_one("A").row["depth_ratio"] == pytest.approx(0.5)
    assert score_one("A+B").row["depth_ratio"] == pytest.approx(0.3)  # measured together
    unseen = signed_readout(words.genes, {"D": 1}, "")
    assert score_one("A+C", readout=unseen).row["depth_ratio"] == pytest.approx(0.5 * 1.0)
    assert score_one("A+NEW", readout=unseen).row["depth_ratio"] is None  # nobody measured it


def test_parts_at_different_doses_have_no_one_dose(
    words: Vocabulary, facts: RunFacts, fold_of: MakeFold, moments: MakeMoments
) -> None:
    folded = fold_of("A", moments([1.0] * 4), moments([1.0] * 4))
    parts = (PerturbationPart("A", 0.1), PerturbationPart("C", 1.0))
    condition = replace(folded.planned.condition, perturbation=Perturbation(parts, "drug"))
    folded = replace(folded, planned=replace(folded.planned, condition=condition))
    found = score_folded(folded, DOWN, words, facts, exclude_own_targets=True).row
    assert (found["perturbation"], found["dose"]) == ("A@0.1+C@1", None)


def test_factors_and_markers_have_columns_of_their_own(score_one: ScoreOne) -> None:
    markers = replace(DOWN, marker_genes=("C", "A"))
    found = score_one("B", readout=markers, cell_type="T cells", donor="D1").row
    table = hit_table([found], extra_columns(("cell_type", "donor"), ("C", "A")))
    assert table["cell_type"].to_list() == ["T cells"]
    assert table["donor"].to_list() == ["D1"]
    assert table["effect[A]"][0] == pytest.approx(-1.0)
    assert table["effect[C]"][0] == pytest.approx(0.0)
    assert math.isclose(table["effect_se[A]"][0], 0.0, abs_tol=1e-9)


def test_a_factor_that_is_averaged_over_is_empty(score_one: ScoreOne) -> None:
    table = hit_table([score_one().row], extra_columns(("cell_type", "donor"), ()))
    assert (table["cell_type"][0], table["donor"][0]) == ("T cells", None)


def test_only_five_genes_are_named_each_way(
    facts: RunFacts, fold_of: MakeFold, moments: MakeMoments, words: Vocabulary
) -> None:
    genes = tuple(f"G{i}" for i in range(9))
    many = replace(words, genes=genes)
    control = moments([5.0] * 9)
    found = replace(control, log1p=control.log1p + np.arange(9) / 10)
    readout = signed_readout(genes, {"G1": 1}, "")
    table = score_folded(fold_of("A", found, control), readout, many, facts, exclude_own_targets=True).row
    assert table["top_up"] == "G8 +0.80, G7 +0.70, G6 +0.60, G5 +0.50, G4 +0.40"
    assert table["top_down"] == ""


def test_no_column_is_free_for_a_factor_of_a_context() -> None:
    taken = {*COLUMNS, *extra_columns((), ("A",))}
    assert [name for name in taken if name not in NO_FACTORS and not is_reserved(name)] == []


@given(st.lists(st.sampled_from([-0.5, -0.25, 0.0, 0.25, 0.5, math.nan]), min_size=1, max_size=30))
def test_extremes_are_the_first_of_a_stable_sort(effects: list[float]) -> None:
    genes = tuple(f"G{i}" for i in range(len(effects)))
    for sign in (-1, 1):
        order = sorted((i for i, e in enumerate(effects) if sign * e < 0), key=lambda i: sign * effects[i])[:TOP_GENES]
        expected = ", ".join(f"G{i} {effects[i]:+.2f}" for i in order)
        assert _extremes(np.array(effects), genes, sign) == expected


def test_extremes_and_targets_do_not_sort_or_walk_the_panel(words: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = replace(words, genes=tuple(f"G{i}" for i in range(1_000)))
    sizes: list[int] = []
    argsort = np.argsort
    monkeypatch.setattr(np, "argsort", lambda values, **how: (sizes.append(len(values)), argsort(values, **how))[1])
    _extremes(-np.arange(1_000.0), panel.genes, 1)
    assert sizes == [TOP_GENES]
    assert own_targets(Perturbation.parse("G999+G3", "genetic"), panel).tolist() == [3, 999]


def test_the_row_says_what_the_prediction_rests_on(
    words: Vocabulary, facts: RunFacts, fold_of: MakeFold, moments: MakeMoments
) -> None:
    folded = fold_of("A", moments([0.0] * 4), moments([1.0] * 4, seed=1))
    unseen = replace(folded, planned=replace(folded.planned, support="features_only"))
    for each, support in ((folded, "in_vocabulary"), (unseen, "features_only")):
        assert score_folded(each, DOWN, words, facts, exclude_own_targets=False).row["support"] == support


def test_own_targets_are_genes_whatever_the_method(words: Vocabulary) -> None:
    both = Perturbation.parse("A (CRISPRa)+A (knockout)+B", "genetic")
    assert own_targets(both, words).tolist() == [0, 1]


def test_a_row_tells_how_many_genes_were_pre_filled(
    words: Vocabulary, facts: RunFacts, fold_of: MakeFold, moments: MakeMoments
) -> None:
    """The targets, and what was lowered in contexts that the row is not about."""
    lowered = (
        LoweredGenes({"cell_type": "T cells", "donor": "D1"}, ("B", "C")),
        LoweredGenes({"cell_type": "B cells", "donor": "D1"}, ("D",)),
    )
    injection = PriorInjection(words, PriorGenes({"A": lowered}))
    control, found = moments([2.0, 1.5, 1.0, 3.0], seed=1), moments([1.0, 1.0, 1.0, 2.0])
    for label, kind, genes in (("A", "genetic", 2), ("A+B", "genetic", 2), ("C", "drug", 0)):
        folded = fold_of(label, found, control, kind=kind, cell_type="T cells")
        row = score_folded(folded, DOWN, words, facts, exclude_own_targets=False, injection=injection).row
        assert row["prior_genes"] == genes, label
        row = score_folded(folded, DOWN, words, facts, exclude_own_targets=False).row
        assert row["prior_genes"] == 0
