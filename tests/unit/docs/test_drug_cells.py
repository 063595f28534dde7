"""The script that makes the cells of docs/tutorials/drugs.md."""

import runpy
from pathlib import Path

import anndata
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "make_drug_cells.py"


def write_table(path: Path) -> None:
    """22 HDAC inhibitors, 41 others, and one without a structure; one structure has a comment behind it."""
    targets = ["HDAC"] * 22 + [f"T{i % 5}" for i in range(42)]
    rows = {
        "name": [f"drug {i}" for i in range(64)],
        "smiles_vendor": ["CCO |comment|", *["CCO"] * 62, ""],
        "smiles_canonical": ["", *["CCO"] * 62, ""],
        "target": targets,
        "pathway": ["Epigenetics"] * 64,
    }
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)


def test_the_library_has_six_drugs_that_no_cell_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "drugs.tsv")
    runpy.run_path(str(SCRIPT))["main"]([str(tmp_path / "drugs.tsv"), str(tmp_path / "made")])
    library = pd.read_csv(tmp_path / "made" / "library.tsv", sep="\t")
    cells = anndata.read_h5ad(tmp_path / "made" / "cells.h5ad")
    seen = set(cells.obs["perturbation"]) - {"control"}
    unseen = {"drug 17", "drug 18", "drug 19", "drug 59", "drug 60", "drug 61"}
    assert set(library["id"]) - seen == unseen
    assert set(library["structure"]) == {"CCO"}
    assert cells.n_obs == 9276
    programme = (tmp_path / "made" / "programme.gmt").read_text(encoding="utf-8").split("\t")
    assert programme[0] == "HDAC_PROGRAMME"
    assert len(set(programme[2:])) == 20
    assert "9,276 cells of 54 drugs" in capsys.readouterr().out
