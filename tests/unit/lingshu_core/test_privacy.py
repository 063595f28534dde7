import numpy as np
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.privacy import FEWEST_GENES, DonorCells, Privacy, count_duplicates, measure_privacy, nearest_distance

GENES = 60
TRAINED, STRANGERS = ("A", "B", "C", "D", "E"), ("V", "W", "X", "Y", "Z")


def cells_of(donors: tuple[str, ...], number: int = 60, seed: int = 0, depth: float = 1.0) -> DonorCells:
    """Two kinds of cells in every donor; donors differ a little."""
    counts, names, kinds = [], [], []
    for donor in donors:
        own = np.random.default_rng([seed, ord(donor)])
        kind = own.random(number) < 0.3
        rate = np.geomspace(0.5, 15.0, GENES) * np.exp(own.normal(0.0, 0.1, GENES))
        rate = np.where(kind[:, None] & (np.arange(GENES) % 4 == 0), 6 * rate, rate)
        counts.append(own.poisson(depth * rate * own.lognormal(sigma=0.3, size=(number, 1))))
        names += [donor] * number
        kinds += ["one" if each else "other" for each in kind]
    return DonorCells(sp.csr_matrix(np.concatenate(counts)), np.array(names), np.array(kinds))


TRAINING, HELD_OUT = cells_of(TRAINED), cells_of(STRANGERS)


def found_by(generated: sp.csr_matrix) -> Privacy:
    return measure_privacy(generated, TRAINING, HELD_OUT)


def thinned(cells: sp.csr_matrix, kept: float) -> sp.csr_matrix:
    copy = cells.copy()
    copy.data = np.random.default_rng(0).binomial(copy.data, kept)
    copy.eliminate_zeros()
    return copy


def test_an_independent_generator_gives_nobody_away() -> None:
    found = found_by(cells_of(("P", "Q", "R")).counts)
    membership, ratio = found.membership, found.distance_ratio
    assert membership.value is not None
    assert membership.low is not None
    assert membership.low <= 0.5
    assert membership.details["of_cells"] == pytest.approx(0.5, abs=0.06)
    assert ratio.value == pytest.approx(1.0, abs=0.08)
    assert ratio.details["of_nearest"] == pytest.approx(1.0, abs=0.15)
    assert found.duplicates.value == 0
    assert not any(each.alarm for each in (membership, ratio, found.duplicates))


def test_a_generator_that_returns_training_cells_is_caught() -> None:
    found = found_by(TRAINING.counts[::2])
    assert found.membership.value == 1.0
    assert found.membership.details["p_chance"] < 0.01
    assert found.distance_ratio.details["of_nearest"] == pytest.approx(0.0, abs=1e-6)
    assert found.duplicates.value == 150
    assert all(each.alarm for each in (found.membership, found.distance_ratio, found.duplicates))
    assert "can be recognised" in found.membership.words


def test_training_cells_in_disguise_are_caught_too() -> None:
    """One molecule in ten is gone: no cell is equal, and all are near."""
    found = found_by(thinned(TRAINING.counts[::2], 0.9))
    assert found.duplicates.value == 0
    assert found.membership.alarm
    assert found.distance_ratio.alarm


def test_a_few_copies_among_many_cells_are_found() -> None:
    generated = sp.vstack([cells_of(("P", "Q", "R"), 100).counts, TRAINING.counts[:3]]).tocsr()
    found = found_by(generated)
    assert found.duplicates.value == 3
    assert found.duplicates.alarm
    assert not found.membership.alarm


def test_donors_of_the_training_among_the_held_out_do_not_count() -> None:
    both = DonorCells(
        sp.vstack([HELD_OUT.counts, TRAINING.counts]).tocsr(),
        np.r_[HELD_OUT.donors, TRAINING.donors],
        np.r_[HELD_OUT.strata, TRAINING.strata],
    )
    generated = cells_of(("P", "Q", "R")).counts
    assert measure_privacy(generated, TRAINING, both).membership == found_by(generated).membership


def test_the_composition_of_donors_is_no_membership() -> None:
    """Held-out donors have other shares of the kinds, and the kinds are not equally near to generated cells."""
    kinds = HELD_OUT.strata == "other"
    only = DonorCells(HELD_OUT.counts[kinds], HELD_OUT.donors[kinds], HELD_OUT.strata[kinds])
    found = measure_privacy(cells_of(("P", "Q", "R")).counts, TRAINING, only).membership
    assert found.details["of_cells"] == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("training", "held_out", "said"),
    [
        (TRAINED, (), "no donor with at least 20 cells is held out"),
        (TRAINED, ("V",), "one donor only with at least 20 cells is held out"),
        (("A",), STRANGERS, "one donor only with at least 20 cells is in the training"),
    ],
)
def test_too_few_donors_are_not_measured_with_the_reason(
    training: tuple[str, ...], held_out: tuple[str, ...], said: str
) -> None:
    others = cells_of(held_out) if held_out else DonorCells(TRAINING.counts[:0], np.array([]), np.array([]))
    found = measure_privacy(cells_of(("P",)).counts, cells_of(training), others)
    for measure in (found.membership, found.distance_ratio):
        assert measure.value is None
        assert said in measure.words
        assert not measure.alarm
    assert found.duplicates.value == 0


def test_donors_with_a_handful_of_cells_are_left_out() -> None:
    found = measure_privacy(TRAINING.counts, TRAINING, cells_of(STRANGERS, number=19))
    assert "no donor with at least 20 cells is held out" in found.membership.words


def test_cells_without_donors_are_not_measured(cells: Cells) -> None:
    plain = DonorCells.of(cells, None)
    found = measure_privacy(cells.counts, plain, plain)
    assert found.membership.value is None
    assert set(DonorCells.of(cells, "donor").donors) == {"D1", "D2"}
    assert DonorCells.of(cells, "donor").strata[0] == "B cells, ctrl"


def test_duplicates_are_counted_as_the_model_sees_counts() -> None:
    """Counts above 99 stand for ranges: a copied cell comes back with the middle of each."""
    real = sp.csr_matrix(np.r_[np.arange(1, GENES), 203][None, :])
    copied = sp.csr_matrix(np.r_[np.arange(1, GENES), 204][None, :])
    other = sp.csr_matrix(np.r_[np.arange(1, GENES), 217][None, :])
    none = real[:0]
    assert count_duplicates(copied, real, none).value == 1
    assert count_duplicates(other, real, none).value == 0


def test_near_empty_cells_are_alike_by_chance_and_do_not_count() -> None:
    near_empty = sp.csr_matrix(np.eye(1, GENES, dtype=np.int32).repeat(5, axis=0))
    full = sp.csr_matrix(np.ones((3, GENES), dtype=np.int32))
    found = count_duplicates(sp.vstack([near_empty, full]).tocsr(), near_empty, full)
    assert found.value is None
    assert f"no training cell has {FEWEST_GENES} detected genes" in found.words
    both = sp.vstack([near_empty, full]).tocsr()
    found = count_duplicates(both, both, both[:0])
    assert (found.value, found.details["near_empty"]) == (3, 5)
    assert "5 with fewer than 20 detected genes don't count" in found.words
    assert count_duplicates(near_empty, both, both).value is None


def test_stored_zeros_hide_no_duplicate() -> None:
    dense = np.ones((2, GENES), dtype=np.int32)
    stored = sp.csr_matrix(dense)
    stored.data[::30] = 0
    assert count_duplicates(stored, sp.csr_matrix(stored.toarray()), stored[:0]).value == 2


def test_held_out_cells_tell_what_chance_does() -> None:
    same = sp.csr_matrix(np.ones((4, GENES), dtype=np.int32))
    found = count_duplicates(same, same, same)
    assert found.value == 4
    assert found.details["share_of_held_out_cells"] == 1.0
    assert not found.alarm


def test_the_nearest_distance_is_that_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    points, others = random.normal(size=(7, 3)), random.normal(size=(11, 3))
    pairs = np.linalg.norm(points[:, None] - others[None], axis=2)
    assert nearest_distance(points, others) == pytest.approx(pairs.min(axis=1))


def test_measures_are_plain_data_and_the_same_again() -> None:
    generated = cells_of(("P", "Q", "R")).counts
    assert found_by(generated).as_dict() == found_by(generated).as_dict()
    assert set(Privacy.not_measured("no cells").as_dict()) == {"membership", "distance_ratio", "duplicates"}
