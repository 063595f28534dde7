from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from campaigns.errors import GeneSetError, Where
from campaigns.gene_sets import GeneSet, PanelGenes, find_gene_set, read_gene_sets, restrict_to_panel

GMT = "INTERFERON\thttp://x\tSTAT1\tIRF1\tSTAT1\t\n\nHYPOXIA\t\tVEGFA\tCA9\n"


@pytest.fixture
def gmt(tmp_path: Path) -> Path:
    path = tmp_path / "sets.gmt"
    path.write_text(GMT)
    return path


def test_sets_are_read_with_their_lines(gmt: Path) -> None:
    sets = read_gene_sets(gmt)
    assert sets["INTERFERON"].genes == ("STAT1", "IRF1")
    assert sets["HYPOXIA"] == GeneSet("HYPOXIA", ("VEGFA", "CA9"), Where(str(gmt), 3))


def test_gzip_is_recognised_by_its_content(gmt: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.gmt"
    packed.write_bytes(gzip.compress(GMT.encode(), mtime=0))
    assert list(read_gene_sets(packed)) == list(read_gene_sets(gmt))


def test_the_panel_keeps_what_it_has(gmt: Path) -> None:
    panel = restrict_to_panel(read_gene_sets(gmt)["INTERFERON"], ["IRF1", "CD14"])
    assert panel == PanelGenes(("IRF1",), 2)


def test_an_unknown_set_names_the_nearest(gmt: Path) -> None:
    with pytest.raises(GeneSetError, match=r"unknown gene set 'INTERFERONS' in sets.gmt; nearest: INTERFERON"):
        find_gene_set(read_gene_sets(gmt), "INTERFERONS", "sets.gmt")


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        (["CD14", "CD4", "CD8A"], "none of the 2 genes of 'INTERFERON' is among the model's 3; the set has 'STAT1'"),
        (["Stat1", "Cd14"], "1 would be if upper and lower case were the same"),
        ([], "the model 'no gene'"),
    ],
)
def test_a_set_outside_the_panel_is_refused_with_counts(gmt: Path, panel: list[str], said: str) -> None:
    with pytest.raises(GeneSetError) as caught:
        restrict_to_panel(read_gene_sets(gmt)["INTERFERON"], panel)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A\tx\tG1\nB\tx\n", "sets.gmt:2: isn't a GMT line"),
        (b"A\tx\tG1\nno tabs at all\n", "sets.gmt:2: isn't a GMT line"),
        (b"\tx\tG1\n", "sets.gmt:1: isn't a GMT line"),
        (b"A\tx\tG1\nA\tx\tG2\n", "sets.gmt:2: gene set 'A' appears twice, first on line 1"),
        (b"A\tx\t\xff\n", "isn't UTF-8"),
        (gzip.compress(GMT.encode(), mtime=0)[:20], "is damaged gzip"),
        (b"\x1f\x8bnot gzip at all", "sets.gmt can't be read"),
        (None, "can't be read: No such file"),
    ],
)
def test_what_is_no_gmt_file_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "sets.gmt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GeneSetError, match=said):
        read_gene_sets(path)
