from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest

import screening.models.embed
from lingshu_core.errors import ConfigurationError, PanelError
from screening.errors import ResultsError
from screening.models.embed import KEY, EmbeddingRequest, EmbeddingResult, embed

Run = Callable[..., tuple[EmbeddingResult, anndata.AnnData]]


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Run:
    """Embed the small simulation: `run(data=…)`."""

    def make(**changes: object) -> tuple[EmbeddingResult, anndata.AnnData]:
        output = str(tmp_path / "embedded.h5ad")
        asked = {"data": str(tiny / "cells.h5ad"), "model": str(tiny / "model"), "output": output, **changes}
        return embed(EmbeddingRequest(**asked)), anndata.read_h5ad(asked["output"])  # type: ignore[arg-type]

    return make


def test_everything_else_stays_as_it_was(run: Run, tiny: Path) -> None:
    result, cells = run()
    before = anndata.read_h5ad(tiny / "cells.h5ad")
    assert (cells.X != before.X).nnz == 0
    assert cells.X.dtype == before.X.dtype
    assert cells.obs.equals(before.obs)
    assert cells.var.equals(before.var)
    assert set(cells.uns) == {*before.uns, KEY}
    assert cells.obsm[KEY].shape == (before.n_obs, result.dimensions)
    assert cells.uns[KEY]["model_digest"] == result.model_digest


def test_few_rows_at_a_time_give_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run()[1].obsm[KEY]
    monkeypatch.setattr(screening.models.embed, "ROWS", 50)
    np.testing.assert_allclose(run()[1].obsm[KEY], whole, atol=1e-5)


def test_no_label_enters(run: Run, tiny: Path, tmp_path: Path) -> None:
    _, cells = run()
    stripped = anndata.read_h5ad(tiny / "cells.h5ad")
    stripped.obs = stripped.obs[[]]
    stripped.write_h5ad(tmp_path / "stripped.h5ad")
    _, unlabelled = run(data=str(tmp_path / "stripped.h5ad"))
    np.testing.assert_array_equal(cells.obsm[KEY], unlabelled.obsm[KEY])


def test_an_older_representation_is_replaced(run: Run, tmp_path: Path) -> None:
    _, cells = run()
    first = cells.obsm[KEY].copy()
    cells.obsm[KEY] = np.zeros((cells.n_obs, 3))
    cells.obsm["X_other"] = np.ones((cells.n_obs, 2))
    cells.write_h5ad(tmp_path / "old.h5ad")
    _, again = run(data=str(tmp_path / "old.h5ad"))
    np.testing.assert_array_equal(again.obsm[KEY], first)
    np.testing.assert_array_equal(again.obsm["X_other"], 1.0)


def test_wrong_requests_are_refused(run: Run, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="the file of the cells itself"):
        run(output=str(tiny / "cells.h5ad"))
    with pytest.raises(ConfigurationError, match="needs a model with a transformer"):
        run(kind="hidden")
    cells = anndata.read_h5ad(tiny / "cells.h5ad")
    cells.var_names = [f"ENSG{i}" for i in range(cells.n_vars)]
    cells.write_h5ad(tmp_path / "ensembl.h5ad")
    with pytest.raises(PanelError, match="0 of the model's 40 genes"):
        run(data=str(tmp_path / "ensembl.h5ad"))
    assert not (tmp_path / "embedded.h5ad").exists()
