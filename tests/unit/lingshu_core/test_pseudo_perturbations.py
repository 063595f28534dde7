from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.cells import Cells
from lingshu_core.depths import control_depths
from lingshu_core.errors import UnusableCells
from lingshu_core.preparation import build_vocabulary, training_set
from lingshu_core.prior_genes import measure_priors
from lingshu_core.pseudo_perturbations import (
    MOST_OF_CONTROLS,
    NO_PSEUDO,
    PseudoPerturbations,
    _sizes,
    draw_pseudo_perturbations,
    pseudo_perturbations_by,
)
from lingshu_core.vocabulary import Vocabulary


@pytest.fixture
def pseudo(cells: Cells) -> PseudoPerturbations:
    return draw_pseudo_perturbations(cells, groups=3, seed=0)


def test_groups_are_disjoint_controls_of_every_context(cells: Cells, pseudo: PseudoPerturbations) -> None:
    chosen = pseudo.groups >= 0
    assert pseudo.names == ("null-1", "null-2", "null-3")
    assert cells.is_control[chosen].all()
    for _, rows in cells.obs.groupby(list(cells.context_roles)).indices.items():
        assert set(pseudo.counts(rows)) == set(pseudo.names)
        assert chosen[rows].sum() <= MOST_OF_CONTROLS * cells.is_control[rows].sum()


def test_the_draw_depends_on_its_seed_alone(cells: Cells, pseudo: PseudoPerturbations) -> None:
    assert np.array_equal(draw_pseudo_perturbations(cells, 3, 0).groups, pseudo.groups)
    assert not np.array_equal(draw_pseudo_perturbations(cells, 3, 1).groups, pseudo.groups)


@given(
    perturbed=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    controls=st.integers(0, 4000),
    groups=st.integers(2, 30),
)
def test_sizes_are_spread_like_those_of_perturbations(perturbed: list[int], controls: int, groups: int) -> None:
    counts = {"control": controls} | {f"P{i}": size for i, size in enumerate(perturbed)}
    sizes, cut = _sizes(pd.Series(counts), "control", groups)
    assert len(sizes) == groups
    assert sizes.sum() <= MOST_OF_CONTROLS * controls or not cut
    if cut:
        assert sizes.sum() >= int(MOST_OF_CONTROLS * controls) - 1
    else:
        assert sizes.min() >= min(perturbed)
        assert sizes.max() <= max(perturbed)
        assert sorted(sizes) == list(sizes)


def test_only_what_is_taught_changes(cells: Cells, pseudo: PseudoPerturbations) -> None:
    plain, words = build_vocabulary(cells), build_vocabulary(cells, pseudo=pseudo)
    assert words.perturbations == plain.perturbations
    assert words.parts == plain.parts
    assert [seen.control_cells for seen in words.contexts] == [seen.control_cells for seen in plain.contexts]
    assert [seen.perturbed_cells for seen in words.contexts] == [seen.perturbed_cells for seen in plain.contexts]
    for own, expected in zip(control_depths(cells, words), control_depths(cells, plain), strict=True):
        assert np.array_equal(own, expected)
    assert measure_priors(cells, words) == measure_priors(cells, plain)


def test_cells_of_a_group_are_taught_under_its_label_alone(
    cells: Cells, pseudo: PseudoPerturbations, make_denoiser: object
) -> None:
    words = build_vocabulary(cells, pseudo=pseudo)
    taught = training_set(pseudo.relabelled(cells), words, make_denoiser().gene_order)  # type: ignore[operator]
    plain = training_set(cells, words, make_denoiser().gene_order)  # type: ignore[operator]
    for number, name in enumerate(pseudo.names):
        own = np.flatnonzero(pseudo.groups == number)
        assert set(taught.conditions.parts[own].max(dim=1).values.tolist()) == {words.index("perturbation", name)}
        assert (taught.condition_cells[own] <= len(own)).all()
    others = np.flatnonzero((pseudo.groups < 0) & ~cells.is_control)
    assert (taught.conditions.parts[others] == plain.conditions.parts[others]).all()
    assert len(taught) == len(cells)


def test_labels_come_after_the_parts(cells: Cells, pseudo: PseudoPerturbations) -> None:
    words = build_vocabulary(cells, pseudo=pseudo)
    assert words.identities == (*words.parts, *pseudo.names)
    assert words.unnamed == len(words.identities) + 1
    again = Vocabulary.from_json(words.to_json())
    assert again == words
    assert again.contexts[0].pseudo_cells == words.contexts[0].pseudo_cells != {}
    assert "pseudo_perturbations" not in build_vocabulary(cells).to_json()


def test_too_few_controls_are_refused(cells: Cells) -> None:
    with pytest.raises(UnusableCells, match="too few for 500 groups"):
        draw_pseudo_perturbations(cells, 500, 0)


def test_a_perturbation_of_that_name_is_refused(cells: Cells) -> None:
    labels = cells.obs["perturbation"].replace("STAT1", "null-2")
    with pytest.raises(UnusableCells, match="'null-2'; rename it"):
        draw_pseudo_perturbations(replace(cells, obs=cells.obs.assign(perturbation=labels)), 3, 0)


def test_smaller_groups_are_told(cells: Cells) -> None:
    told = draw_pseudo_perturbations(cells, 3, 0).notices
    assert len(told) == 2
    assert "of 48 control cells" in told[0]
    assert "wider than it ought to be" in told[1]


def test_without_groups_nothing_changes(cells: Cells) -> None:
    assert NO_PSEUDO.relabelled(cells) is cells
    assert NO_PSEUDO.counts(np.arange(3)) == {}


@pytest.fixture
def guided(cells: Cells) -> Cells:
    """Cells of which every control has one of three guides, one of them rare, and one control none."""
    guides = np.full(len(cells), "of a target", dtype=object)
    controls = np.flatnonzero(cells.is_control)
    guides[controls] = np.where(np.arange(len(controls)) % 2, "NT+1", "NT@1")
    guides[controls[:3]] = "rare"
    guides[controls[3]] = "nan"
    return replace(cells, obs=cells.obs.assign(guide=guides, plate="one"))


def test_guides_are_groups_of_half_of_their_cells(guided: Cells) -> None:
    pseudo = pseudo_perturbations_by(guided, ["guide"], minimum_cells=2, seed=0)
    assert pseudo.names == ("null-NT_1", "null-NT_1_2")  # neither plus nor at sign means anything here
    for number, guide in enumerate(("NT+1", "NT@1")):
        assert set(guided.obs["guide"][pseudo.groups == number]) == {guide}
    for _, rows in guided.obs.groupby([*guided.context_roles, "guide"]).indices.items():
        assert (pseudo.groups[rows] >= 0).sum() <= MOST_OF_CONTROLS * len(rows)
    assert guided.is_control[pseudo.groups >= 0].all()
    assert "rare (3 cells)" in pseudo.notices[-1]


def test_columns_are_joined_and_the_draw_depends_on_its_seed(guided: Cells) -> None:
    pseudo = pseudo_perturbations_by(guided, ["guide", "plate"], minimum_cells=2, seed=0)
    assert pseudo.names == ("null-NT_1-one", "null-NT_1-one_2")
    again = pseudo_perturbations_by(guided, ["guide", "plate"], minimum_cells=2, seed=0)
    other = pseudo_perturbations_by(guided, ["guide", "plate"], minimum_cells=2, seed=1)
    assert np.array_equal(again.groups, pseudo.groups)
    assert not np.array_equal(other.groups, pseudo.groups)


def test_values_that_make_no_null_are_refused(guided: Cells) -> None:
    with pytest.raises(UnusableCells, match=r"values of guide among control cells, 0 have 40 cells to spare"):
        pseudo_perturbations_by(guided, ["guide"], minimum_cells=40, seed=0)
    with pytest.raises(UnusableCells, match="values of plate among control cells, 1 have 2 cells"):
        pseudo_perturbations_by(guided, ["plate"], minimum_cells=2, seed=0)
