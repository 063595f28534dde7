from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.conditioning import ConditionBatch, ConditionEncoder
from lingshu_core.neighbours import FeatureBank, Neighbours, stored_bank

# Described: A, B, C, D genetic, E a drug; seen: A, B, E and X, which is not described.
VECTORS = torch.tensor(
    [[1.0, 0.0, 0.2], [0.9, 0.1, 0.0], [0.95, 0.05, 0.1], [-1.0, 0.3, 0.0], [1.0, 0.0, 0.2]],
)
A, B, C, D, E = range(1, 6)
BANK = FeatureBank(
    VECTORS, torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0, 0, 1]), part_rows=torch.tensor([0, 1, 4, -1])
)
SEEN_A, SEEN_B, SEEN_E, SEEN_X, UNNAMED = range(1, 6)


def _batch(rows: list[list[int]], parts: list[list[int]] | None = None) -> ConditionBatch:
    index = torch.tensor(rows)
    return ConditionBatch(
        torch.ones(len(rows), 1, dtype=torch.long),
        torch.full_like(index, UNNAMED) if parts is None else torch.tensor(parts),
        index,
        torch.full(index.shape, torch.nan),
        torch.full((len(rows),), 6.0),
    )


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours(BANK)


def test_an_unseen_perturbation_listens_to_those_alike(neighbours: Neighbours) -> None:
    weights = neighbours(_batch([[C]]))[0, 0].detach()
    assert weights.sum() == pytest.approx(1.0)
    assert weights[SEEN_A] > weights[SEEN_B] > 0  # A is alike in both sources
    assert weights[[0, SEEN_E, SEEN_X]].tolist() == [0.0, 0.0, 0.0]  # none, another type, not described


def test_the_more_alike_the_more_weight_and_strangers_get_the_mean(neighbours: Neighbours) -> None:
    with torch.no_grad():
        neighbours.sharpness.fill_(5.0)
    sharp = neighbours(_batch([[B]]))[0, 0].detach()
    assert sharp[SEEN_A] == pytest.approx(1.0)
    stranger = neighbours(_batch([[D]]))[0, 0].detach()
    assert stranger[SEEN_A] == pytest.approx(0.5, abs=1e-3)
    assert stranger[SEEN_B] == pytest.approx(0.5, abs=1e-3)


def test_a_source_may_say_nothing_but_never_the_opposite(neighbours: Neighbours) -> None:
    with torch.no_grad():
        neighbours.sharpness.fill_(-5.0)
    weights = neighbours(_batch([[C]]))[0, 0].detach()
    assert weights[SEEN_A] >= weights[SEEN_B]
    assert weights[[SEEN_A, SEEN_B]].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_perturbation_is_not_its_own_neighbour(neighbours: Neighbours) -> None:
    weights = neighbours(_batch([[A, B]]))[0].detach()
    assert weights[0, SEEN_A] == 0
    assert weights[1, SEEN_B] == 0
    assert weights[0, SEEN_B] == pytest.approx(1.0)


def test_without_neighbours_or_features_there_is_nothing_to_borrow(neighbours: Neighbours) -> None:
    alone, none = neighbours(_batch([[E], [0]]))[:, 0]  # the only drug; no features
    assert alone.tolist() == [0.0] * 5
    assert none.tolist() == [0.0] * 5


def test_who_has_nobody_to_borrow_from_is_known(neighbours: Neighbours) -> None:
    # The only described drug, a perturbation without features, and two that have each other.
    assert neighbours.has_others(torch.tensor([[E, 0], [A, D]])).tolist() == [[False, False], [True, True]]


@given(st.permutations(range(4)))
def test_the_order_of_the_bank_does_not_matter(order: list[int]) -> None:
    place = {old: new for new, old in enumerate(order)}
    rows = [*order, 4]
    shuffled = FeatureBank(
        VECTORS[rows],
        BANK.sources,
        BANK.types[rows],
        torch.tensor([place[0], place[1], 4, -1]),
    )
    expected = Neighbours(BANK)(_batch([[C]]))
    assert torch.allclose(Neighbours(shuffled)(_batch([[place[2] + 1]])), expected)


def test_vectors_from_outside_replace_each_other_and_are_read_like_those_of_the_bank(neighbours: Neighbours) -> None:
    expected = neighbours(_batch([[C]]))
    neighbours.describe(VECTORS[[3, 3]], kind=0)
    row = neighbours.describe(VECTORS[[2]], kind=0)
    assert row == 6
    assert torch.equal(neighbours(_batch([[row]])), expected)
    assert len(neighbours.vectors) == 7


def test_the_bank_is_read_back_from_the_state(neighbours: Neighbours) -> None:
    bank = stored_bank(neighbours.state_dict())
    assert bank is not None
    for name in ("vectors", "sources", "types", "part_rows"):
        assert torch.equal(getattr(bank, name), getattr(BANK, name))
    assert stored_bank({}) is None


def test_a_part_without_an_identity_is_a_mixture_of_those_that_have_one(neighbours: Neighbours) -> None:
    torch.manual_seed(0)
    encoder = ConditionEncoder(6, [1], 4, torch.tensor([5.0, 7.0]), torch.ones(5), scale=1.0, use_depth=True)
    batch = _batch([[C, 0], [A, C]], parts=[[UNNAMED, 0], [SEEN_A, UNNAMED]])
    mixture = neighbours(batch)
    first, second = encoder.perturbed(batch, mixture)
    assert torch.allclose(first, mixture[0, 0] @ encoder.perturbation.weight)
    assert torch.allclose(second, encoder.perturbation.weight[SEEN_A] + mixture[1, 1] @ encoder.perturbation.weight)


def test_what_is_borrowed_teaches_the_weights_and_not_the_identities(neighbours: Neighbours) -> None:
    encoder = ConditionEncoder(6, [1], 4, torch.tensor([5.0, 7.0]), torch.ones(5), scale=1.0, use_depth=True)
    batch = _batch([[C]])
    encoder.perturbed(batch, neighbours(batch)).square().sum().backward()
    assert neighbours.sharpness.grad is not None
    assert neighbours.sharpness.grad.abs().max() > 0
    assert encoder.perturbation.weight.grad is None or encoder.perturbation.weight.grad.abs().max() == 0


def test_an_unseen_drug_has_the_half_maximal_dose_of_those_alike() -> None:
    bank = FeatureBank(torch.tensor([[1.0], [1.0]]), torch.tensor([0]), torch.tensor([0, 0]), torch.tensor([0]))
    encoder = ConditionEncoder(3, [1], 1, torch.tensor([5.0, 7.0]), torch.tensor([1.0, 4.0]), scale=1.0, use_depth=True)
    batch = _batch([[2]], parts=[[2]])
    dosed = ConditionBatch(batch.factors, batch.parts, batch.rows, torch.tensor([[4.0]]), batch.log_depth)
    half, full = encoder.perturbed(dosed, Neighbours(bank)(dosed)), encoder.perturbed(batch, Neighbours(bank)(batch))
    assert torch.allclose(half, 0.5 * full)
    assert torch.allclose(full, encoder.perturbation.weight[1])
