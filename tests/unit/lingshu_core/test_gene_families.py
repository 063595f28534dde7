import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.gene_families import families_by_stem, families_of, joined_families, stem


@pytest.mark.parametrize(
    ("symbol", "root"),
    [
        ("IFNGR1", "IFNGR"),
        ("IFNGR2", "IFNGR"),
        ("STAT5A", "STAT"),
        ("STAT1", "STAT"),
        ("HLA-DRB1", "HLA-DRB"),
        ("CEBPA", "CEBP"),
        ("CEBPE", "CEBP"),
        ("BRAF", "BRAF"),  # three letters would be left
        ("MYC", "MYC"),
        ("CD86", "CD86"),  # numbers only
        ("TMEM9", "TMEM9"),
        ("A1", "A1"),
        ("Stat3", "STAT"),
        ("7SK", "7SK"),
        ("", ""),
    ],
)
def test_stem(symbol: str, root: str) -> None:
    assert stem(symbol) == root


def test_a_whole_symbol_belongs_to_those_it_begins() -> None:
    assert families_by_stem(["MYC", "MYCN", "MYCL", "SPI1"]) == {
        "MYC": "MYC",
        "MYCN": "MYC",
        "MYCL": "MYC",
        "SPI1": "SPI",
    }


def test_groups_that_share_a_gene_are_one_family() -> None:
    pairs = [("JAK1", "JAK2"), ("JAK2", "TYK2"), ("IRF1", "IRF2")]
    found = joined_families(["TYK2", "JAK1", "IRF1", "MYC"], pairs)
    assert found == {"IRF1": "IRF1", "JAK1": "JAK1", "MYC": "MYC", "TYK2": "JAK1"}


def test_a_gene_that_no_table_knows_is_its_own_family() -> None:
    assert families_of({"STAT1": "stats"}, ["STAT1", "X"]) == {"STAT1": "stats", "X": "X"}


@given(
    st.lists(st.sampled_from(list("ABCDEFGH")), min_size=1),
    st.lists(st.sets(st.sampled_from(list("ABCDEFGH")), min_size=1)),
)
def test_families_join_every_group(genes: list[str], groups: list[set[str]]) -> None:
    found = joined_families(genes, [sorted(group) for group in groups])
    assert set(found) == set(genes)
    for group in groups:
        assert len({found[gene] for gene in group.intersection(genes)}) <= 1
