import json
import math
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anndata
import fsspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from campaigns.errors import VocabularyError
from campaigns.vocabulary import Vocabulary
from lingshu_core.cells import CellSource, read_cells
from lingshu_core.checkpoint import load_header
from lingshu_core.errors import DataError
from lingshu_core.preparation import build_vocabulary
from screening.planning.vocabulary_file import read_plain_vocabulary


def test_it_reads_what_the_checkpoint_says(tiny: Path) -> None:
    found = read_plain_vocabulary(f"{tiny}/model/")
    header = load_header(str(tiny / "model")).vocabulary
    assert found is not None
    assert found.genes == header.genes
    assert set(found.perturbations) == set(header.perturbations)
    assert [seen.control_cells for seen in found.contexts] == [seen.control_cells for seen in header.contexts]


def test_it_reads_a_url(tiny: Path) -> None:
    for name in ("vocabulary.json",):
        with fsspec.open(f"memory://model/{name}", "wb") as handle:
            handle.write((tiny / "model" / name).read_bytes())
    assert read_plain_vocabulary("memory://model") == read_plain_vocabulary(str(tiny / "model"))
    assert read_plain_vocabulary("memory://no-model") is None


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_plain_vocabulary(str(tmp_path)) is None
    assert read_plain_vocabulary(str(tmp_path / "file")) is None


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', '{"format": 1}', "\udcff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocabulary.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(VocabularyError, match=r"vocabulary.json"):
        read_plain_vocabulary(str(tmp_path))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.json").mkdir()
    with pytest.raises(VocabularyError, match="can't be read"):
        read_plain_vocabulary(str(tmp_path))


LABELS = st.one_of(
    st.sampled_from(
        ["A", "B", "A+A", "A+B", "B + A", "ctrl+A", "A+ctrl", "(+)-JQ1", "Ca(2+)", "Ca2+", "+", "A)+A", ""]
    ),
    st.text("AB+() ", min_size=0, max_size=7),
)
FACTORS = st.sampled_from(["D1", "D2", "", " ", "D+1"])
DOSES = st.sampled_from([0.5, 1.0, math.nan, math.inf])
TREATED = st.lists(st.tuples(LABELS, st.sampled_from(["genetic", "drug"]), DOSES, FACTORS), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(treated=TREATED, genes=st.lists(st.sampled_from(["G1", "G2", "", "g 3"]), min_size=1, max_size=3, unique=True))
@example(treated=[("A+A", "drug", 1.0, "D1"), ("Ca(2+)", "genetic", math.nan, "D1")], genes=["G1"])
def test_the_vocabulary_of_accepted_cells_is_accepted(treated: list[tuple[Any, ...]], genes: list[str]) -> None:
    rows = [("ctrl", "none", math.nan, "D1"), *treated]
    obs = pd.DataFrame(rows, columns=["perturbation", "perturbation_type", "dose", "donor"]).rename(index=str)
    counts = np.ones((len(rows), len(genes)), dtype=np.float32)
    table = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))
    source = CellSource("memory://cells.h5ad", {name: name for name in obs}, control="ctrl")
    with patch("lingshu_core.cells.open_table", return_value=table):
        try:
            cells = read_cells(source)
        except DataError as error:
            event(str(error)[:60])
            return
    event("accepted")
    found = Vocabulary.from_json(json.loads(json.dumps(build_vocabulary(cells).to_json())))
    assert set(found.perturbations) == set(cells.obs["perturbation"]) - {"ctrl"}
