"""Norman 2019 and McFaline-Figueroa 2024 on 500 genes: what the columns of the file are."""

from __future__ import annotations

from typing import Any

from benchmarks.report import DATA

LICENCE = "BSD-3-Clause"
COLUMNS = {
    **{role: role for role in ("perturbation", "perturbation_type", "cell_type")},
    "method": "perturbation_method",
    "depth": "n_counts_all_genes",
}


def data_block(*, with_method: bool = True) -> dict[str, Any]:
    """Return the ``data`` of a campaign; without the methods one knows only that a gene is perturbed."""
    columns = {role: column for role, column in COLUMNS.items() if with_method or role != "method"}
    path = str(DATA / "norman2019_mcfaline2023_devel_500.h5ad")
    return {"path": path, "columns": columns, "context": ["cell_type"]}
