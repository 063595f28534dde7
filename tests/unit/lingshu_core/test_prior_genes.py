from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.cells import Cells
from lingshu_core.errors import CheckpointError
from lingshu_core.prior_genes import (
    LoweredGenes,
    PriorGenes,
    PriorInjection,
    genetic_names,
    lowered_genes,
    measure_priors,
    rank_sum_p_values,
)
from lingshu_core.vocabulary import SeenPerturbation, Vocabulary

B1, B2, T1 = ({"cell_type": kind, "donor": donor} for kind, donor in (("B", "1"), ("B", "2"), ("T", "1")))
PRIORS = PriorGenes(
    {
        "STAT1": (
            LoweredGenes(B1, ("GENE1", "GENE2")),
            LoweredGenes(B2, ("GENE2", "GENE5")),
            LoweredGenes(T1, ("GENE7",)),
        )
    }
)


def _counts(means: list[float], cells: int, seed: int) -> sp.csr_matrix:
    return sp.csr_matrix(np.random.default_rng(seed).poisson(means, (cells, len(means))).astype(np.int32))


@pytest.mark.parametrize(
    ("context", "genes"),
    [
        (B1, {"GENE2", "GENE5", "GENE7"}),
        (T1, {"GENE1", "GENE2", "GENE5"}),
        ({"cell_type": "B"}, {"GENE7"}),
        ({"donor": "1"}, {"GENE2", "GENE5"}),
        ({}, set()),
        ({"cell_type": "NK"}, {"GENE1", "GENE2", "GENE5", "GENE7"}),
    ],
)
def test_every_context_but_the_one_asked_about_is_united(context: Mapping[str, str], genes: set[str]) -> None:
    assert PRIORS.elsewhere("STAT1", context) == genes
    assert PRIORS.elsewhere("JAK2", context) == frozenset()


@given(
    own=st.frozensets(st.sampled_from("abcdef")),
    other=st.frozensets(st.sampled_from("abcdef")),
    named=st.sets(st.sampled_from(["cell_type", "donor"])),
)
def test_what_is_measured_in_the_context_asked_about_makes_no_difference(
    own: frozenset[str], other: frozenset[str], named: set[str]
) -> None:
    asked = {factor: B1[factor] for factor in named}
    elsewhere = LoweredGenes({"cell_type": "T", "donor": "3"}, tuple(other))
    found = PriorGenes({"X": (LoweredGenes(B1, tuple(own)), elsewhere)}).elsewhere("X", asked)
    assert found == (other if named else frozenset())


def test_the_published_thresholds_decide() -> None:
    #            lowered  too weak  target too high  reference too low  raised  silent
    reference = [5.0, 5.0, 9.0, 1.5, 0.3, 0.0]
    target = [0.2, 4.5, 2.0, 0.1, 6.0, 0.0]
    assert lowered_genes(_counts(target, 60, 0), _counts(reference, 200, 1)).tolist() == [0]


def test_a_difference_that_chance_can_make_is_none() -> None:
    controls = sp.csr_matrix(np.array([[9], [0], [0], [0]], dtype=np.int32))  # a mean of 2.25 from one cell
    none = sp.csr_matrix(np.zeros((3, 1), dtype=np.int32))
    assert len(lowered_genes(none, controls)) == 0
    many = sp.csr_matrix(np.full((200, 1), 3, dtype=np.int32))
    assert lowered_genes(sp.csr_matrix((50, 1), dtype=np.int32), many).tolist() == [0]


def test_every_gene_counts_as_a_test() -> None:
    """What passes alone fails among thousands of other genes tested: the false discovery rate is over all of them."""
    controls = sp.csr_matrix(np.array([[2], [3], [4]] * 10))
    perturbed = sp.csr_matrix(np.array([[0], [1], [1], [1], [1]]))
    assert lowered_genes(perturbed, controls).tolist() == [0]
    padded, against = (
        sp.hstack([each, sp.csr_matrix((each.shape[0], 4000))]).tocsr() for each in (perturbed, controls)
    )
    assert len(lowered_genes(padded, against)) == 0


def test_genes_are_tested_in_pieces_and_silent_ones_have_no_evidence() -> None:
    rng = np.random.default_rng(0)
    means = rng.uniform(0, 3, 1100) * (rng.random(1100) < 0.9)
    first, second = _counts(means.tolist(), 8, 1), _counts((means * 1.5).tolist(), 20, 2)
    found = rank_sum_p_values(first, second)
    assert (found[means == 0] == 1).all()
    some = np.r_[0:5, 700:705]
    np.testing.assert_allclose(found[some], rank_sum_p_values(first[:, some], second[:, some]))
    assert (rank_sum_p_values(sp.csr_matrix((3, 4)), sp.csr_matrix((5, 4))) == 1).all()


def test_priors_are_measured_context_by_context(cells: Cells, vocabulary: Vocabulary) -> None:
    found = measure_priors(_knocked_down(cells), vocabulary)
    assert list(found.lowered) == ["STAT1"]
    assert [dict(seen.context) for seen in found.lowered["STAT1"]] == [
        {"cell_type": "B cells", "donor": "D1"},
        {"cell_type": "B cells", "donor": "D2"},
    ]
    assert all("GENE3" in seen.genes for seen in found.lowered["STAT1"])
    assert measure_priors(cells.select(~cells.is_control), vocabulary).lowered == {}


def _knocked_down(cells: Cells) -> Cells:
    """The experiment, with a gene of five counts a cell that STAT1 takes away in B cells and nothing else changes."""
    counts = np.tile(np.arange(cells.counts.shape[1]) % 2, (len(cells), 1))
    counts[:, 3] = 5
    gone = (cells.obs["perturbation"] == "STAT1") & (cells.obs["cell_type"] == "B cells")
    counts[gone.to_numpy(), 3] = 0
    return replace(cells, counts=sp.csr_matrix(counts.astype(np.int32)))


def test_the_target_and_what_is_lowered_elsewhere_are_injected(vocabulary: Vocabulary) -> None:
    words = replace(vocabulary, genes=("GENE1", "STAT1", "GENE2", "GENE5", "ruxolitinib", "JAK2"))
    injection = PriorInjection(words, PRIORS)
    assert injection.genes(["STAT1"], B1) == (1, 2, 3)
    assert injection.genes(["STAT1"], {}) == (1,)
    assert injection.genes(["STAT1", "JAK2"], B1) == (1, 5)
    assert injection.genes([], B1) == ()
    assert injection.genes(["ruxolitinib"], B1) == ()


@pytest.mark.parametrize(
    ("methods", "part", "genes"),
    [
        ({}, "STAT1", (0,)),
        ({"STAT1": "CRISPRi"}, "STAT1", (0,)),
        ({"STAT1": "CRISPRa"}, "STAT1", ()),
        ({"STAT1": "CRISPRa"}, "IRF9", ()),
        ({"STAT1": "CRISPRa", "JAK2": "CRISPRi"}, "IRF9", (1,)),
    ],
)
def test_a_target_that_is_activated_is_not_injected(
    vocabulary: Vocabulary, methods: Mapping[str, str], part: str, genes: tuple[int, ...]
) -> None:
    words = replace(vocabulary, genes=("STAT1", "IRF9"), methods=methods, described={"IRF9": "genetic"})
    assert PriorInjection(words, PriorGenes({})).genes([part], B1) == genes


def test_targets_with_a_method_in_their_name_are_their_genes(vocabulary: Vocabulary) -> None:
    named = {f"STAT1 ({way})": SeenPerturbation("genetic", 9) for way in ("CRISPRa", "knockout")}
    words = replace(vocabulary, genes=("STAT1",), perturbations=named)
    injection = PriorInjection(words, PriorGenes({}))
    assert injection.genes(["STAT1 (CRISPRa)"], B1) == ()
    assert injection.genes(["STAT1 (knockout)"], B1) == (0,)


def test_a_cytokine_with_the_name_of_a_gene_is_no_target(vocabulary: Vocabulary) -> None:
    words = replace(
        vocabulary,
        perturbations={**vocabulary.perturbations, "IFNB1": SeenPerturbation("cytokine", 9)},
        described={"IRF9": "genetic", "IFNG": "cytokine"},
    )
    assert genetic_names(words) == {"STAT1", "JAK2", "IRF9"}


def test_an_activated_target_is_not_filled_in_as_if_it_were_lost(vocabulary: Vocabulary) -> None:
    words = replace(
        vocabulary,
        genes=("STAT1", "JAK2"),
        parts=("JAK2 (CRISPRa)", "STAT1 (knockout)"),
        perturbations={name: SeenPerturbation("genetic", 9) for name in ("JAK2 (CRISPRa)", "STAT1 (knockout)")},
        methods={"STAT1 (knockout)": "knockout", "JAK2 (CRISPRa)": "CRISPRa"},
    )
    injection = PriorInjection(words, PriorGenes({}))
    assert injection.genes(["STAT1 (knockout)", "JAK2 (CRISPRa)"], B1) == (0,)


def test_priors_come_back_and_damaged_ones_are_refused() -> None:
    assert PriorGenes.from_json(PRIORS.to_json()) == PRIORS
    for content, said in (
        ({"format": 2}, "priors.json has format 2; this version reads format 1"),
        ({"format": 1}, "priors.json is damaged: KeyError"),
        ({"format": 1, "lowered": {"STAT1": [{"genes": []}]}}, "priors.json is damaged"),
        ({"format": 1, "lowered": [1]}, "priors.json is damaged"),
    ):
        with pytest.raises(CheckpointError, match=said):
            PriorGenes.from_json(content)
