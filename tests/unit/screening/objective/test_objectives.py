from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from screening.errors import ObjectiveError
from screening.folding.effects import Moments
from screening.objective.objectives import Readout, difference_readout, score_condition, score_members, signed_readout

MakeMoments = Callable[..., Moments]
GENES = ("A", "B", "C", "D")
NONE = np.array([], dtype=np.int64)


def shifted(control: Moments, shift: list[float], wobble: float = 0.0) -> Moments:
    log1p = control.log1p + np.asarray(shift) + wobble * np.arange(len(control.log1p))[:, None]
    return Moments(log1p, control.counts, control.log1p_square, control.counts_square, control.cells)


def test_a_signature_weighs_genes_by_their_sign() -> None:
    readout = signed_readout(GENES, {"A": 1, "D": -1}, "A up, D down")
    assert readout.weights.tolist() == [1.0, 0.0, 0.0, -1.0]
    assert readout.used.tolist() == [True, False, False, True]
    assert (readout.normalisation, readout.question) == ("mean", "A up, D down")


def test_a_signature_without_a_gene_of_the_model_is_refused() -> None:
    with pytest.raises(ObjectiveError, match="none of its 2 genes is among the model's 4"):
        signed_readout(GENES, {"X": 1, "Y": -1}, "")


def test_the_score_is_the_mean_effect_over_the_root_mean_square_of_the_controls_deviations(
    moments: MakeMoments,
) -> None:
    control = moments([1.0, 2.0, 3.0, 4.0], variance=0.25)
    control = Moments(
        control.log1p,
        control.counts,
        control.log1p.mean(axis=0) ** 2 + np.array([0.1, 9.0, 9.0, 0.3]),
        control.counts_square,
        control.cells,
    )
    condition = shifted(control, [0.4, 5.0, 5.0, -0.2], wobble=0.01)
    found = score_condition(condition, control, signed_readout(GENES, {"A": 1, "D": -1}, ""), NONE, GENES)
    effects = ((condition.log1p - control.log1p)[:, 0] - (condition.log1p - control.log1p)[:, 3]) / 2
    scale = np.sqrt((0.1 + 0.3) / 2)
    assert found.effect == pytest.approx(0.3)
    assert found.score == pytest.approx(0.3 / scale)
    assert found.effect_se == pytest.approx(effects.std(ddof=1) / np.sqrt(8), abs=1e-12)
    assert found.score_se == pytest.approx(found.effect_se / scale, abs=1e-12)
    assert (found.genes_used, found.targets_left_out) == (2, ())


def test_the_standard_error_comes_from_paired_shards(moments: MakeMoments) -> None:
    control = moments([1.0, 1.0, 1.0, 1.0], spread=1.0)
    condition = shifted(control, [0.5] * 4, wobble=0.1)
    found = score_condition(condition, control, signed_readout(GENES, {"A": 1}, ""), NONE, GENES)
    assert found.effect_se == pytest.approx(0.1 * np.arange(8).std(ddof=1) / np.sqrt(8))


def test_a_target_left_out_counts_neither_in_the_mean_nor_in_the_scale(moments: MakeMoments) -> None:
    control = moments([1.0, 2.0, 3.0, 4.0])
    control = Moments(
        control.log1p,
        control.counts,
        control.log1p.mean(axis=0) ** 2 + np.array([100.0, 0.25, 0.25, 1.0]),
        control.counts_square,
        control.cells,
    )
    condition = shifted(control, [-9.0, 0.5, 0.5, 0.0])
    three = signed_readout(GENES, dict.fromkeys("ABC", 1), "")
    two = signed_readout(GENES, dict.fromkeys("BC", 1), "")
    left_out = score_condition(condition, control, three, np.array([0, 3]), GENES)
    never_in = score_condition(condition, control, two, NONE, GENES)
    assert (left_out.score, left_out.effect) == (never_in.score, never_in.effect)
    assert left_out.score == pytest.approx(0.5 / 0.5)
    assert (left_out.genes_used, left_out.targets_left_out) == (2, ("A",))  # D was no gene of the objective
    assert score_condition(condition, control, three, NONE, GENES).score < 0


def test_leaving_a_target_out_spoils_no_readout_for_the_next(moments: MakeMoments) -> None:
    control, readout = moments([1.0] * 4), signed_readout(GENES, {"A": 1, "B": 1}, "")
    score_condition(control, control, readout, np.array([0]), GENES)
    assert readout.weights.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_the_share_is_one_where_the_effect_is_the_difference(moments: MakeMoments) -> None:
    difference, control = np.array([0.5, -1.0, 2.0, 0.7]), moments([3.0] * 4)
    readout = difference_readout(difference, np.array([True, True, True, False]), "", "here")
    for share in (1.0, -1.0, 0.25):
        found = score_condition(shifted(control, share * difference), control, readout, NONE, GENES)
        assert found.score == found.effect == pytest.approx(share)
        assert found.genes_used == 3


def test_the_share_of_the_genes_that_are_left(moments: MakeMoments) -> None:
    difference, control = np.array([0.5, -1.0, 2.0, 0.7]), moments([3.0] * 4)
    readout = difference_readout(difference, np.ones(4, dtype=bool), "", "here")
    effect = difference * [7.0, 1.0, 1.0, 1.0]
    assert score_condition(shifted(control, effect), control, readout, NONE, GENES).score > 1.1
    assert score_condition(shifted(control, effect), control, readout, np.array([0]), GENES).score == pytest.approx(1)


def test_the_share_of_an_effect_aslant_is_its_projection(moments: MakeMoments) -> None:
    control = moments([3.0] * 4)
    readout = Readout(np.array([2.0, 0.0, 0.0, 0.0]), "share", "")
    assert score_condition(
        shifted(control, [1.0, 9.0, 9.0, 9.0]), control, readout, NONE, GENES
    ).score == pytest.approx(0.5)


def test_groups_that_do_not_differ_are_refused() -> None:
    with pytest.raises(ObjectiveError, match="in T cells the two groups of cells do not differ"):
        difference_readout(np.array([0.1, 0.2]), np.array([False, False]), "", "T cells")


def test_a_condition_whose_targets_are_all_of_the_objective_is_refused(moments: MakeMoments) -> None:
    control = moments([1.0] * 4)
    with pytest.raises(ObjectiveError, match=r"own targets \(A, B\) are left out"):
        score_condition(control, control, signed_readout(GENES, {"A": 1, "B": -1}, ""), np.array([0, 1]), GENES)


def test_genes_without_any_variance_give_a_finite_score(moments: MakeMoments) -> None:
    control = moments([0.0] * 4, spread=0.0, variance=0.0)
    found = score_condition(shifted(control, [0.1, 0, 0, 0]), control, signed_readout(GENES, {"A": 1}, ""), NONE, GENES)
    assert np.isfinite(found.score)


def test_members_share_their_numbers_and_so_their_mean_over_members_is_one_replicate(moments: MakeMoments) -> None:
    control = moments([3.0] * 4, spread=0.0)
    noise = np.random.default_rng(3).normal(0, 0.1, (8, 1))
    readout = signed_readout(GENES, {"A": 1}, "")

    def members(signs: tuple[float, float]) -> list[tuple[Moments, Moments]]:
        return [(replace(control, log1p=control.log1p + 0.5 + sign * noise), control) for sign in signs]

    alone = score_condition(*members((1, 1))[0], readout, NONE, GENES)
    alike, opposed = (score_members(members(signs), readout, NONE, GENES) for signs in ((1, 1), (1, -1)))
    assert alike.score == pytest.approx(alone.score)
    assert alike.score_se == pytest.approx(alone.score_se)  # errors that are the same don't shrink
    assert alike.score_sd == pytest.approx(0.0, abs=1e-12)
    assert opposed.score_se == pytest.approx(0.0, abs=1e-12)  # those that are opposed cancel
    assert (alike.members, alone.members, alone.score_sd) == (2, 1, None)


def test_every_member_is_scored_in_units_of_its_own_control(moments: MakeMoments) -> None:
    calm, loud = (moments([3.0] * 4, spread=0.0, variance=variance) for variance in (0.25, 1.0))
    readout = signed_readout(GENES, {"A": 1}, "")
    pairs = [(shifted(control, [1.0, 0, 0, 0]), control) for control in (calm, loud)]
    found = score_members(pairs, readout, NONE, GENES)
    assert found.score == pytest.approx((2.0 + 1.0) / 2)
    assert found.score_sd == pytest.approx(np.std([2.0, 1.0], ddof=1))
    assert found.effect == pytest.approx(1.0)
    one = score_members(pairs[:1], readout, NONE, GENES)
    assert one == score_condition(*pairs[0], readout, NONE, GENES)
