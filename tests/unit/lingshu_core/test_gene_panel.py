from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.errors import MissingColumn, PanelError, UnreadableCells
from lingshu_core.gene_panel import Orthologs, match_panel, read_orthologs

NAMES = st.lists(st.sampled_from("ABCDEFGHIJ"), unique=True, min_size=1)


@given(panel=NAMES, genes=NAMES, seed=st.integers(0, 99))
def test_every_shared_gene_goes_to_its_place(panel: list[str], genes: list[str], seed: int) -> None:
    shared = set(panel) & set(genes)
    if len(shared) < 0.3 * len(panel):
        with pytest.raises(PanelError, match="of the model's"):
            match_panel(panel, genes, "file")
        return
    match = match_panel(panel, genes, "file")
    counts = np.random.default_rng(seed).integers(0, 5, (3, len(genes)))
    aligned = match.align(sp.csr_matrix(counts)).toarray()
    for position, gene in enumerate(panel):
        assert match.present[position] == (gene in shared)
        expected = counts[:, genes.index(gene)] if gene in shared else 0
        np.testing.assert_array_equal(aligned[:, position], expected)
    assert match.extra == len(genes) - len(shared)


def test_the_refusal_has_the_numbers_and_names() -> None:
    with pytest.raises(PanelError, match=r"file: 0 of the model's 2 genes .* 30% .* STAT1, JAK2; the file's: ENSG1"):
        match_panel(["STAT1", "JAK2"], ["ENSG1"], "file")


def test_a_match_tells_of_what_is_missing() -> None:
    said = match_panel(["A", "B", "C"], ["B", "A", "X"], "file").describe()
    assert "2 of the model's 3 genes are in the cells; 1 are masked, 1 genes of the cells are left out" in said


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "orthologs.csv.gz"
    rows = ["mouse,human", "Stat1,STAT1", "Jak2,JAK2", "Twin1,TWIN", "Twin2,TWIN", "Many,M1", "Many,M2", "Lone,"]
    path.write_bytes(gzip.compress("\n".join([*rows, "Jak2,JAK2"]).encode()))
    return path


def test_only_one_to_one_orthologs_are_kept(pairs: Path) -> None:
    orthologs = read_orthologs(str(pairs), "mouse", "human")
    assert orthologs == Orthologs({"Stat1": "STAT1", "Jak2": "JAK2"}, ambiguous=4)
    assert orthologs.backwards() == {"STAT1": "Stat1", "JAK2": "Jak2"}
    match = match_panel(["JAK2", "STAT1", "M1"], ["Stat1", "JAK2", "Jak2"], "file", orthologs)
    assert match.align(sp.csr_matrix([[3, 9, 5]])).toarray().tolist() == [[5, 3, 0]]
    assert "4 ambiguous rows" in match.describe()


def test_tables_that_cannot_be_used_are_refused(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingColumn, match="no column 'rat'; columns are: mouse, human"):
        read_orthologs(str(pairs), "rat", "human")
    with pytest.raises(UnreadableCells, match="no such file"):
        read_orthologs(str(tmp_path / "none.csv"), "mouse", "human")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00mouse")
    with pytest.raises(UnreadableCells, match="not a readable table"):
        read_orthologs(str(tmp_path / "bytes.tsv"), "mouse", "human")
