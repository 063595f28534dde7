"""A listener for runs, and cells to be spoiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import pytest

from actors.progress import Progress


class Quiet:
    """Hears a run and says nothing."""

    def stage(self, name: str, detail: str) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        pass


@pytest.fixture
def quiet() -> Quiet:
    return Quiet()


@pytest.fixture
def spoilt_cells(tiny: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write the cells after a change to them, and give the `data` block that names them."""

    def write(spoil: Callable[[anndata.AnnData], object], **changes: Any) -> dict[str, Any]:
        cells = anndata.read_h5ad(tiny / "cells.h5ad")
        changed = spoil(cells)
        (cells if changed is None else changed).write_h5ad(tmp_path / "spoilt.h5ad")
        columns = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
        return {"path": str(tmp_path / "spoilt.h5ad"), "columns": {name: name for name in columns}} | changes

    return write
