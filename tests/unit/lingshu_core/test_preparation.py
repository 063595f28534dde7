from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.errors import UnusableCells
from lingshu_core.preparation import (
    TrainingSet,
    build_vocabulary,
    cell_condition,
    depth_log_ratios,
    gene_statistics,
    pseudo_cells,
    token_matrix,
    training_set,
)
from lingshu_core.tokens import REPRESENTATIVE_COUNTS, encode
from lingshu_core.vocabulary import Vocabulary


def test_the_vocabulary_lists_what_occurs(vocabulary: Vocabulary, cells: Cells) -> None:
    assert vocabulary.genes == cells.genes
    assert vocabulary.factors == {"cell_type": ("B cells", "T cells"), "donor": ("D1", "D2")}
    assert vocabulary.parts == ("JAK2", "STAT1", "ruxolitinib")
    assert list(vocabulary.perturbations) == ["JAK2", "JAK2+STAT1", "STAT1", "ruxolitinib"]
    assert vocabulary.control == "ctrl"
    drug = vocabulary.perturbations["ruxolitinib"]
    assert (drug.type, drug.cells, drug.doses) == ("drug", 24, (0.1, 1.0, 10.0))
    assert vocabulary.perturbations["STAT1"].doses == ()


def test_contexts_count_their_cells(vocabulary: Vocabulary) -> None:
    assert [dict(context.factors) for context in vocabulary.contexts] == [
        {"cell_type": cell_type, "donor": donor} for cell_type in ("B cells", "T cells") for donor in ("D1", "D2")
    ]
    for context in vocabulary.contexts:
        assert (context.cells, context.control_cells) == (34, 12)
        assert context.perturbed_cells == {"JAK2": 6, "JAK2+STAT1": 4, "STAT1": 6, "ruxolitinib": 6}


def test_one_role_and_none_make_contexts_too(cells: Cells) -> None:
    one = build_vocabulary(replace(cells, context_roles=("donor",)))
    assert [dict(context.factors) for context in one.contexts] == [{"donor": "D1"}, {"donor": "D2"}]
    none = build_vocabulary(replace(cells, context_roles=()))
    assert none.factors == {}
    assert [(dict(context.factors), context.cells) for context in none.contexts] == [({}, len(cells))]


def test_the_order_of_the_factors_survives_a_checkpoint(cells: Cells) -> None:
    # A checkpoint sorts its keys; the embeddings of a factor are found by the factor's place.
    turned = build_vocabulary(replace(cells, context_roles=("donor", "cell_type")))
    stored = json.loads(json.dumps(turned.to_json(), sort_keys=True))
    assert list(turned.factors) == list(Vocabulary.from_json(stored).factors) == ["cell_type", "donor"]
    assert Vocabulary.from_json(stored).to_json() == turned.to_json()
    assert turned == build_vocabulary(cells)


@pytest.mark.parametrize("roles", [("cell_type", "donor"), ("donor",), ()])
def test_shifts_in_depth_are_taken_within_contexts(cells: Cells, roles: tuple[str, ...]) -> None:
    cells = replace(cells, context_roles=roles)
    found = depth_log_ratios(cells)
    log_depth = np.log(cells.depth)
    rows = cells.obs.to_dict("records")
    for label in ("JAK2", "ruxolitinib"):
        shifts = []
        for position, row in enumerate(rows):
            if row["perturbation"] == label:
                same = np.array([all(other[role] == row[role] for role in roles) for other in rows])
                shifts.append(log_depth[position] - log_depth[same & cells.is_control].mean())
        assert found[label] == pytest.approx(np.mean(shifts))
    assert "ctrl" not in found


def test_a_perturbation_without_controls_in_its_contexts_has_no_shift(cells: Cells) -> None:
    keep = ~(cells.is_control & np.asarray(cells.obs["donor"] == "D1"))
    keep &= ~np.asarray((cells.obs["perturbation"] == "STAT1") & (cells.obs["donor"] == "D2"))
    cut = cells.select(keep)
    assert "STAT1" not in depth_log_ratios(cut)
    assert build_vocabulary(cut).perturbations["STAT1"].depth_log_ratio == 0.0


def test_zeros_that_are_not_stored_are_token_zero(cells: Cells) -> None:
    tokens = token_matrix(cells.counts)
    assert np.array_equal(tokens.toarray(), encode(cells.counts.toarray()))
    assert cells.counts.max() > 100  # so that a bin is used


def test_statistics_hold_frequencies_supports_knots_and_doses(cells: Cells, vocabulary: Vocabulary) -> None:
    statistics = gene_statistics(cells, vocabulary, DenoiserConfig(depth_knots=5))
    tokens = encode(cells.counts.toarray())
    assert (statistics.support.numpy() > tokens.max(axis=0)).all()
    counted = np.stack([np.bincount(column, minlength=281) for column in tokens.T]).astype(float)
    counted += pseudo_cells(counted)
    expected = np.log(counted / counted.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(statistics.log_marginals.numpy(), expected, rtol=1e-5)
    log_depth = np.log(cells.depth)
    assert len(statistics.depth_knots) == 5
    assert statistics.depth_knots[0].item() == pytest.approx(log_depth.min(), abs=1e-3)
    assert statistics.depth_knots[-1].item() == pytest.approx(log_depth.max(), abs=1e-3)
    assert statistics.typical_dose.tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0])
    assert (gene_statistics(cells, vocabulary, DenoiserConfig(gene_bias=False)).support == 281).all()


def test_tokens_beyond_the_largest_seen_fade_and_stay_possible(cells: Cells) -> None:
    histogram = np.stack([np.bincount(column, minlength=281) for column in encode(cells.counts.toarray()).T])
    added = pseudo_cells(histogram.astype(float))
    assert (added > 0).all()
    for gene, largest in enumerate(encode(cells.counts.max(axis=0).toarray().ravel())):
        assert (added[gene, : largest + 1] == 0.05).all()
        assert (np.diff(added[gene, largest:]) <= 0).all()
    # What is added to the mean of a gene stays below its largest count seen, however many tokens there are.
    extra = (added @ REPRESENTATIVE_COUNTS) / len(cells)
    assert (extra < 0.1 * (cells.counts.max(axis=0).toarray().ravel() + 1)).all()


def test_the_typical_dose_is_the_geometric_mean(cells: Cells) -> None:
    obs = cells.obs.assign(dose=cells.obs["dose"].replace({0.1: 4.0, 1.0: 4.0, 10.0: 9.0}))
    cells = replace(cells, obs=obs)
    statistics = gene_statistics(cells, build_vocabulary(cells), DenoiserConfig())
    assert statistics.typical_dose[3].item() == pytest.approx(math.sqrt(4 * 9))


def test_equal_depths_still_give_increasing_knots(cells: Cells, vocabulary: Vocabulary) -> None:
    even = replace(cells, depth=np.full(len(cells), 500.0))
    assert (gene_statistics(even, vocabulary, DenoiserConfig()).depth_knots.diff() > 0).all()


def test_a_training_set_is_in_the_inner_order(
    cells: Cells, vocabulary: Vocabulary, learning_set: TrainingSet, make_denoiser: Callable[..., Denoiser]
) -> None:
    order = make_denoiser().gene_order.numpy()
    rows = np.array([3, 60, 61])
    tokens, batch = learning_set.batch(rows)
    assert tokens.dtype == torch.long
    assert np.array_equal(tokens.numpy(), encode(cells.counts[rows].toarray())[:, order])
    assert torch.allclose(batch.log_depth.exp(), torch.from_numpy(cells.depth[rows]).float())
    assert len(learning_set) == len(cells)
    few = learning_set.select(rows)
    assert torch.equal(few.batch(np.arange(3))[0], tokens)
    assert few.condition_cells.tolist() == learning_set.condition_cells[rows].tolist()


def test_every_cell_knows_how_many_share_its_condition(cells: Cells, learning_set: TrainingSet) -> None:
    expected = cells.obs["perturbation"].map({"ctrl": 12, "STAT1": 6, "JAK2": 6, "JAK2+STAT1": 4, "ruxolitinib": 6})
    assert learning_set.condition_cells.tolist() == expected.tolist()


def test_other_genes_are_refused(cells: Cells, vocabulary: Vocabulary) -> None:
    other = replace(cells, genes=cells.genes[::-1])
    with pytest.raises(UnusableCells, match="the genes are not those that the model was built for"):
        training_set(other, vocabulary, torch.arange(len(cells.genes)))


def test_a_row_becomes_a_condition(cells: Cells) -> None:
    rows = cells.obs.drop_duplicates(["perturbation", "dose"]).to_dict("records")
    context = {"cell_type": "B cells", "donor": "D1"}
    assert [cell_condition(row, cells) for row in rows] == [
        Condition(context),
        Condition(context, (("STAT1", None),)),
        Condition(context, (("JAK2", None),)),
        Condition(context, (("JAK2", None), ("STAT1", None))),
        *(Condition(context, (("ruxolitinib", dose),)) for dose in (0.1, 1.0, 10.0)),
    ]
