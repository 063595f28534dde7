from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.checkpoint import CheckpointHeader, load_header
from lingshu_core.errors import MissingColumn, NotCounts, PanelError, UnusableCells
from screening.models.card_cells import read_card_cells, with_genes


@pytest.fixture
def header(tiny: Path) -> CheckpointHeader:
    return load_header(str(tiny / "model"))


@pytest.fixture
def table(tiny: Path) -> anndata.AnnData:
    """The cells of the training, to be spoiled."""
    return anndata.read_h5ad(tiny / "cells.h5ad")


def written(table: anndata.AnnData, tmp_path: Path) -> tuple[str]:
    table.write_h5ad(tmp_path / "cells.h5ad")
    return (str(tmp_path / "cells.h5ad"),)


def test_the_cells_of_the_training_are_recognised(tiny: Path, header: CheckpointHeader) -> None:
    found = read_card_cells([str(tiny / "cells.h5ad")], header)
    assert found.trained is not None
    assert found.trained.all()
    assert found.cells.genes == header.vocabulary.genes


def test_what_was_held_out_was_not_trained_on(tiny: Path, header: CheckpointHeader) -> None:
    whole = read_card_cells([str(tiny / "cells.h5ad")], header).cells
    held = np.asarray(whole.obs["cell_type"] == "type_1")
    card = {**header.card, "held_out": '[{"cell_type": "type_1"}]', "data_digest": whole.select(~held).digest()}
    words = CheckpointHeader(header.vocabulary, header.control_depths, card, header.digest)
    found = read_card_cells([str(tiny / "cells.h5ad")], words)
    assert found.trained is not None
    assert (found.trained == ~held).all()


def test_other_cells_are_not_those_of_the_training(
    table: anndata.AnnData, tmp_path: Path, header: CheckpointHeader
) -> None:
    assert read_card_cells(written(table[1:].copy(), tmp_path), header).trained is None
    card = {**header.card, "held_out": '[{"cell_type": "type_9"}]'}
    words = CheckpointHeader(header.vocabulary, header.control_depths, card, header.digest)
    assert read_card_cells(written(table, tmp_path), words).trained is None


def test_columns_may_have_other_names(table: anndata.AnnData, tmp_path: Path, header: CheckpointHeader) -> None:
    table.obs = table.obs.rename(columns={"cell_type": "annotation"})
    with pytest.raises(MissingColumn, match=r"no column 'cell_type'.*name it with --column ROLE=COLUMN"):
        read_card_cells(written(table, tmp_path), header)
    found = read_card_cells(written(table, tmp_path), header, {"cell_type": "annotation"})
    assert found.trained is not None


def test_a_layer_may_hold_the_counts(table: anndata.AnnData, tmp_path: Path, header: CheckpointHeader) -> None:
    table.layers["raw"] = table.X.copy()
    table.X = sp.csr_matrix(table.X).log1p()
    with pytest.raises(NotCounts, match=r"log-normalised.*--layer NAME"):
        read_card_cells(written(table, tmp_path), header)
    found = read_card_cells(written(table, tmp_path), header, layer="raw")
    assert found.trained is not None


def test_a_checkpoint_that_does_not_say_how_it_was_read_takes_the_names_of_its_roles(
    tiny: Path, header: CheckpointHeader
) -> None:
    old = {key: value for key, value in header.card.items() if key != "reading"}
    words = CheckpointHeader(header.vocabulary, header.control_depths, old, header.digest)
    found = read_card_cells([str(tiny / "cells.h5ad")], words)
    assert set(found.cells.obs) >= {"perturbation", "dose", "cell_type", "donor"}
    assert found.trained is None, "without perturbation_type the digest is another"
    again = read_card_cells([str(tiny / "cells.h5ad")], words, {"perturbation_type": "perturbation_type"})
    assert again.trained is not None


def small(genes: tuple[str, ...]) -> Cells:
    counts = sp.csr_matrix(np.arange(1, 1 + 2 * len(genes)).reshape(2, -1))
    obs = pd.DataFrame({"perturbation": ["control"] * 2, "dose": [np.nan] * 2})
    return Cells(counts, genes, obs, np.asarray(counts.sum(axis=1), dtype=float).ravel(), (), "control", "small")


def test_genes_are_brought_into_the_order_of_the_model() -> None:
    cells = small(("A", "B", "C"))
    found = with_genes(cells, ("C", "A"))
    assert found.genes == ("C", "A")
    assert found.counts.toarray().tolist() == [[3, 1], [6, 4]]
    assert found.depth.tolist() == [4, 10]
    assert with_genes(cells, ("C", "A"), has_depth=True).depth.tolist() == [6, 15]
    assert with_genes(cells, ("A", "B", "C")) is cells


def test_missing_genes_are_refused() -> None:
    with pytest.raises(PanelError, match=r"2 of the model's 3 genes are missing \(X, Y\)"):
        with_genes(small(("A", "B")), ("A", "X", "Y"))


def test_cells_without_a_count_in_these_genes_are_refused() -> None:
    cells = small(("A", "B"))
    cells.counts[0, 1] = 0
    cells.counts.eliminate_zeros()
    with pytest.raises(UnusableCells, match="1 cells have no counts in the genes of the model"):
        with_genes(cells, ("B",))
