import numpy as np
import pytest

from lingshu_core.chemistry import morgan_bits, tanimoto
from lingshu_core.errors import SplitError
from lingshu_core.relations import Relations

DRUGS = {
    "toluene": "Cc1ccccc1",
    "ethylbenzene": "CCc1ccccc1",
    "piperidine": "C1CCNCC1",
    "ethanol": "CCO",
    "sodium ethanolate": "CC[O-].[Na+]",
    "water-like": "CO",
}


def test_drugs_of_one_ring_share_a_scaffold_and_those_without_stand_alone() -> None:
    found = Relations(structures=DRUGS).scaffolds([*DRUGS, "unknown"])
    assert found["toluene"] == found["ethylbenzene"] == "c1ccccc1"
    assert found["ethanol"] == found["sodium ethanolate"] != found["water-like"]
    assert "unknown" not in found


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.7, 1.0])
def test_drugs_of_two_clusters_are_less_alike_than_the_threshold(threshold: float) -> None:
    names = sorted(DRUGS)
    found = Relations(structures=DRUGS).clusters(names, threshold)
    likeness = tanimoto(*(morgan_bits([DRUGS[name] for name in names]),) * 2)
    apart = np.array([[found[a] != found[b] for b in names] for a in names])
    assert likeness[apart].max(initial=0.0) < threshold
    assert found["ethanol"] == found["sodium ethanolate"]


def test_families_follow_what_is_given() -> None:
    genes = ["STAT1", "STAT2", "JAK2"]
    assert Relations().gene_families(genes) == {"JAK2": "JAK", "STAT1": "STAT", "STAT2": "STAT"}
    assert Relations(families={"STAT1": "a", "JAK2": "a"}).gene_families(genes)["STAT2"] == "STAT2"
    assert Relations(groups=(("JAK2", "STAT2"),)).gene_families(genes)["STAT2"] == "JAK2"


def test_a_structure_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SplitError, match=r"drugs\.tsv: 'bad': 'C1CC' is no valid SMILES"):
        Relations(structures={"bad": "C1CC"}, file="drugs.tsv").scaffolds(["bad"])
