import pytest
from pydantic import ValidationError

from campaigns.evidence_spec import EvidenceSpec, NetworkSpec


def test_a_network_may_be_a_file_alone() -> None:
    assert EvidenceSpec.model_validate({"network": "links.tsv"}).network == NetworkSpec(file="links.tsv")


def test_defaults_ask_for_no_file() -> None:
    assert EvidenceSpec().as_data() == {"top": 50, "gene_sets": None, "network": None}


@pytest.mark.parametrize(
    "wrong", [{"top": -1}, {"top": 1.5}, {"network": {}}, {"network": 3}, {"sets": "a.gmt"}, {"gene_sets": ""}]
)
def test_what_is_wrong_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EvidenceSpec.model_validate(wrong)
