from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lingshu_core.conditioning import Condition, ConditionBatch, ConditionEncoder, index_conditions
from lingshu_core.errors import ConditionError
from lingshu_core.vocabulary import Vocabulary

CONTEXT = {"cell_type": "T cells", "donor": "D2"}
KNOTS = torch.tensor([5.0, 6.0, 8.0])


@pytest.fixture
def encoder() -> ConditionEncoder:
    torch.manual_seed(0)
    return ConditionEncoder(4, [2, 2], 3, KNOTS, torch.tensor([1.0, 1.0, 1.0, 2.0]), scale=1.0, use_depth=True)


def _batch(
    vocabulary: Vocabulary, *parts: tuple[tuple[str, float | None], ...], depth: float = 1_000.0
) -> ConditionBatch:
    return index_conditions(vocabulary, [Condition(CONTEXT, each) for each in parts], np.full(len(parts), depth))


def test_conditions_are_looked_up_by_name(vocabulary: Vocabulary) -> None:
    batch = index_conditions(
        vocabulary,
        [Condition(CONTEXT), Condition({"donor": "D1"}, (("STAT1", None), ("ruxolitinib", 0.5)))],
        np.array([100.0, 1_000.0]),
    )
    assert batch.factors.tolist() == [[2, 2], [0, 1]]
    assert batch.parts.tolist() == [[0, 0], [2, 3]]
    assert torch.isnan(batch.doses).tolist() == [[True, True], [True, False]]
    assert batch.doses[1, 1] == 0.5
    assert torch.allclose(batch.log_depth, torch.tensor([math.log(100), math.log(1_000)]))


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (Condition({"tissue": "blood"}), "no context factor 'tissue'; it has: cell_type, donor"),
        (Condition({"donor": "D9"}), "never trained on donor 'D9'; `lingshu validate` lists"),
        (Condition(CONTEXT, (("TYK2", None),)), "never trained on perturbation 'TYK2'"),
        (Condition(CONTEXT, (("ctrl", None),)), "never trained on perturbation 'ctrl'"),
    ],
)
def test_unknown_names_are_refused(vocabulary: Vocabulary, condition: Condition, said: str) -> None:
    with pytest.raises(ConditionError, match=said):
        index_conditions(vocabulary, [condition], np.array([100.0]))


def test_a_batch_is_cut_by_slices_and_positions(vocabulary: Vocabulary) -> None:
    batch = _batch(vocabulary, (), (("STAT1", None),), (("JAK2", None),))
    assert batch[1:].parts.tolist() == [[2], [1]]
    assert batch[torch.tensor([2, 0])].parts.tolist() == [[1], [0]]
    assert batch[:1].log_depth.shape == (1,)


def test_the_control_keeps_context_and_depth(vocabulary: Vocabulary, encoder: ConditionEncoder) -> None:
    batch = _batch(vocabulary, (("ruxolitinib", 3.0),))
    control = batch.as_control()
    assert torch.equal(control.factors, batch.factors)
    assert torch.equal(control.log_depth, batch.log_depth)
    assert encoder.perturbed(control).abs().max() == 0
    assert encoder.perturbed(batch).abs().min() > 0
    assert Condition(CONTEXT, (("STAT1", None),)).as_control() == Condition(CONTEXT)
    assert torch.equal(encoder.latent(control), encoder.latent(_batch(vocabulary, ())))


def test_control_and_unspecified_stay_exactly_zero_while_the_rest_learns(
    vocabulary: Vocabulary, encoder: ConditionEncoder
) -> None:
    before = encoder.perturbation.weight.detach().clone()
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=0.1, weight_decay=0.1)
    conditions = [
        Condition({}),
        Condition({}, (("STAT1", None), ("JAK2", None))),
        Condition(CONTEXT),
        Condition(CONTEXT, (("ruxolitinib", 1.0),)),
    ]
    batch = index_conditions(vocabulary, conditions, np.full(4, 400.0))
    for _ in range(5):
        optimiser.zero_grad()
        (encoder.latent(batch) - 3.0).square().sum().backward()
        optimiser.step()
    assert (encoder.perturbation.weight[1:] != before[1:]).all()
    for table in (encoder.perturbation, *encoder.factors):
        assert torch.equal(table.weight[0], torch.zeros(4))
    assert torch.equal(encoder.perturbed(batch)[0], torch.zeros(4))


def test_a_combination_does_not_depend_on_the_order_of_its_parts(
    vocabulary: Vocabulary, encoder: ConditionEncoder
) -> None:
    parts = (("STAT1", None), ("JAK2", None), ("ruxolitinib", 0.7))
    batch = _batch(vocabulary, parts, parts[::-1], (*parts[:2], parts[2]))
    found = encoder.perturbed(batch)
    assert torch.allclose(found[0], found[1])
    alone = encoder.perturbed(_batch(vocabulary, *[(part,) for part in parts]))
    assert torch.allclose(found[0], alone.sum(dim=0))


def test_the_response_to_a_dose_is_a_hill_curve(vocabulary: Vocabulary, encoder: ConditionEncoder) -> None:
    doses = [0.0, 0.02, 0.2, 2.0, 20.0, 2e6]
    with torch.no_grad():
        encoder.log_slope[3] = math.log(1.5)
    full = encoder.perturbation.weight[3]
    found = encoder.perturbed(_batch(vocabulary, *[(("ruxolitinib", dose),) for dose in doses])) / full
    expected = torch.tensor([dose**1.5 / (dose**1.5 + 2.0**1.5) for dose in doses])
    assert torch.allclose(found, expected[:, None].expand_as(found), atol=1e-5)
    assert (found.diff(dim=0) > 0).all()
    assert found[0].abs().max() == 0
    undosed = encoder.perturbed(_batch(vocabulary, (("ruxolitinib", None),)))
    assert torch.equal(undosed[0], full)


def test_an_undosed_part_sends_finite_gradients(vocabulary: Vocabulary, encoder: ConditionEncoder) -> None:
    batch = _batch(vocabulary, (("STAT1", None),), (("ruxolitinib", 1.0),), ())
    encoder.latent(batch).square().sum().backward()
    for parameter in (encoder.log_half_dose, encoder.log_slope, encoder.perturbation.weight):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    assert encoder.log_half_dose.grad is not None
    assert encoder.log_half_dose.grad[:3].abs().max() == 0
    assert encoder.log_half_dose.grad[3] != 0


def test_the_depth_is_interpolated_between_knots_and_flat_beyond(encoder: ConditionEncoder) -> None:
    def embedded(log_depth: list[float]) -> torch.Tensor:
        zeros = torch.zeros(len(log_depth), 1, dtype=torch.long)
        return encoder.depth_embedding(
            ConditionBatch(
                zeros.repeat(1, 2), zeros, zeros, torch.full(zeros.shape, torch.nan), torch.tensor(log_depth)
            )
        )

    table = encoder.depth.weight
    assert torch.allclose(embedded([5.0, 6.0, 8.0]), table)
    assert torch.allclose(embedded([5.25]), 0.75 * table[0] + 0.25 * table[1])
    assert torch.allclose(embedded([7.5]), 0.25 * table[1] + 0.75 * table[2])
    assert torch.equal(embedded([1.0, 20.0]), torch.stack([table[0], table[2]]))
    fine = embedded(torch.linspace(4.5, 8.5, 4_001).tolist())
    assert fine.diff(dim=0).abs().max() < 2e-3 * (table.max() - table.min())


def test_the_prefix_has_one_token_for_every_factor_perturbation_and_depth(vocabulary: Vocabulary) -> None:
    batch = _batch(vocabulary, (("STAT1", None),), ())
    for use_depth, length in ((True, 4), (False, 3)):
        encoder = ConditionEncoder(4, [2, 2], 3, KNOTS, torch.ones(4), scale=1.0, use_depth=use_depth)
        prefix = encoder.prefix(batch)
        assert prefix.shape == (2, length, 4)
        assert torch.allclose(prefix.sum(dim=1), encoder.latent(batch))
        assert prefix[1, 2].abs().max() == 0  # the control's token


def _parts(parts: list[list[int]], rows: list[list[int]]) -> ConditionBatch:
    index = torch.tensor(parts)
    return ConditionBatch(
        torch.ones(len(parts), 2, dtype=torch.long),
        index,
        torch.tensor(rows),
        torch.full(index.shape, torch.nan),
        torch.full((len(parts),), 6.0),
    )


def test_an_interaction_lets_the_context_change_the_perturbation_and_starts_at_nothing() -> None:
    torch.manual_seed(3)
    encoder = ConditionEncoder(4, [2, 2], 3, KNOTS, torch.ones(4), scale=1.0, use_depth=True, interaction=True)
    here = _parts([[2]], [[0]])
    there = ConditionBatch(torch.tensor([[2, 1]]), here.parts, here.rows, here.doses, here.log_depth)
    assert torch.equal(encoder.perturbed(here), encoder.perturbed(there))
    assert encoder.mix is not None
    torch.nn.init.normal_(encoder.mix.weight)
    assert not torch.allclose(encoder.perturbed(here), encoder.perturbed(there))
    assert torch.equal(encoder.perturbed(here.as_control()), torch.zeros(1, 4))


def test_described_names_are_indexed_by_their_row(vocabulary: Vocabulary) -> None:
    described = replace(vocabulary, described={"IRF1": "genetic", "STAT1": "genetic"})
    batch = index_conditions(described, [Condition({}, (("STAT1", None), ("IRF1", None)))], np.array([500.0]))
    assert batch.parts.tolist() == [[described.index("perturbation", "STAT1"), described.unnamed]]
    assert batch.rows.tolist() == [[2, 1]]
    with pytest.raises(ConditionError, match="never trained on perturbation 'IRF2'"):
        index_conditions(described, [Condition({}, (("IRF2", None),))], np.array([500.0]))
