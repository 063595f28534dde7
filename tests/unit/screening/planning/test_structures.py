import pytest

from screening.planning.structures import structure_problem


@pytest.mark.parametrize("smiles", ["CCO", "[Na+].[Cl-]", "C[C@H](N)C(=O)O"])
def test_a_structure_that_can_be_is_no_problem(smiles: str) -> None:
    assert structure_problem(smiles) is None


@pytest.mark.parametrize(
    ("smiles", "said"), [("C1CC", "'C1CC' is no valid SMILES"), ("C(C)(C)(C)(C)C", "valence"), ("", "empty")]
)
def test_a_structure_that_cannot_be_has_a_reason(smiles: str, said: str) -> None:
    assert said in (structure_problem(smiles) or "")
