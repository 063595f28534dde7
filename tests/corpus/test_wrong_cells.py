"""Files of cells that can't be learned from: how they were spoilt, and what is said of them."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

Refused = Callable[..., None]
Edited = Callable[[str, str, str], None]
Spoil = Callable[[anndata.AnnData], anndata.AnnData | None]


def dense(cells: anndata.AnnData) -> np.ndarray:
    return cells.X.toarray().astype(np.float64)


def with_counts(change: Callable[[np.ndarray], Any]) -> Spoil:
    def spoil(cells: anndata.AnnData) -> None:
        cells.X = change(dense(cells))

    return spoil


def with_one(value: float, dtype: type = np.float64) -> Spoil:
    def change(counts: np.ndarray) -> np.ndarray:
        counts[3, 2] = value
        return counts.astype(dtype)

    return with_counts(change)


def with_column(name: str, change: Callable[[pd.Series], Any]) -> Spoil:
    def spoil(cells: anndata.AnnData) -> None:
        cells.obs[name] = change(cells.obs[name].astype(object))

    return spoil


def an_empty_cell(counts: np.ndarray) -> np.ndarray:
    counts[5] = 0
    return counts


def first(value: object, number: int = 1) -> Callable[[pd.Series], pd.Series]:
    """The first cells have another value."""
    return lambda column: pd.Series([value] * number + list(column[number:]), index=column.index, dtype=object)


def treated(value: object) -> Callable[[pd.Series], pd.Series]:
    """The last cells, which are treated ones, have another value."""
    return lambda column: pd.Series([*column[:-3], *[value] * 3], index=column.index, dtype=object)


def named(*names: str) -> Spoil:
    def spoil(cells: anndata.AnnData) -> None:
        cells.var_names = [*names, *cells.var_names[len(names) :]]

    return spoil


def without(column: str) -> Spoil:
    def spoil(cells: anndata.AnnData) -> None:
        del cells.obs[column]

    return spoil


def only(keep: Callable[[pd.DataFrame], Any]) -> Spoil:
    return lambda cells: cells[np.asarray(keep(cells.obs))].copy()


def without_matrix(cells: anndata.AnnData) -> anndata.AnnData:
    return anndata.AnnData(obs=cells.obs, var=cells.var, layers={"counts": cells.X})


def a_batch_a_treatment(cells: anndata.AnnData) -> None:
    cells.obs["donor"] = ["a" if each == "control" else "b" for each in cells.obs["perturbation"]]


def two_types(cells: anndata.AnnData) -> None:
    types = cells.obs["perturbation_type"].astype(str).to_numpy().copy()
    types[np.flatnonzero(cells.obs["perturbation"] == "REG04")[0]] = "drug"
    cells.obs["perturbation_type"] = types


def a_drug_at_nought(cells: anndata.AnnData) -> None:
    doses = cells.obs["dose"].to_numpy().copy()
    doses[np.flatnonzero(cells.obs["perturbation"] == "DRUG01")[0]] = 0
    cells.obs["dose"] = doses


def unused_categories(cells: anndata.AnnData) -> None:
    cells.obs["perturbation"] = cells.obs["perturbation"].astype("category").cat.add_categories(["REG77"])


SPOILT: dict[str, tuple[Spoil, str]] = {
    "log values": (with_counts(np.log1p), "?"),
    "normalised values": (with_counts(lambda counts: counts / counts.sum(axis=1, keepdims=True) * 1e4), "?"),
    "scaled values": (with_counts(lambda counts: counts - counts.mean(axis=0).round()), "?"),
    "a negative value": (with_one(-1), "?"),
    "NaN": (with_one(np.nan), "?"),
    "infinity": (with_one(np.inf), "?"),
    "a fraction": (with_one(1.5), "?"),
    "a count of four billion": (with_one(4e9), "?"),
    "a count of four billion as integer": (with_one(4_000_000_000, np.int64), "?"),
    "complex numbers": (with_counts(lambda counts: counts.astype(complex)), "?"),
    "yes and no": (with_counts(lambda counts: counts > 0), "?"),
    "texts": (with_counts(lambda counts: counts.astype(int).astype(str).astype(object)), "?"),
    "nothing but nought": (with_counts(lambda counts: sp.csr_matrix(counts.shape)), "?"),
    "an empty cell": (with_counts(an_empty_cell), "?"),
    "no matrix": (without_matrix, "?"),
    "no cell": (only(lambda obs: obs["donor"] == "nobody"), "?"),
    "no gene": (lambda cells: cells[:, :0].copy(), "?"),
    "a gene twice": (named("TWIN", "TWIN"), "?"),
    "a gene without a name": (named(""), "?"),
    "no control": (only(lambda obs: obs["perturbation"] != "control"), "?"),
    "nothing but controls": (only(lambda obs: obs["perturbation"] == "control"), "?"),
    "a label missing": (with_column("perturbation", first(None)), "?"),
    "a label of nothing": (with_column("perturbation", first("  ", 2)), "?"),
    "a plus sign too many": (with_column("perturbation", treated("REG04+")), "?"),
    "a perturbation without cells": (unused_categories, "?"),
    "an unknown type": (with_column("perturbation_type", treated("crispr")), "?"),
    "a label of two types": (two_types, "?"),
    "a dose in words": (with_column("dose", lambda column: treated("high")(column.astype(str))), "?"),
    "a negative dose": (with_column("dose", lambda column: treated(-1.0)(column).astype(float)), "?"),
    "a drug at dose nought": (a_drug_at_nought, "?"),
    "a donor missing": (with_column("donor", first(None, 3)), "?"),
    "a donor for each treatment": (a_batch_a_treatment, "?"),
    "no column of perturbations": (without("perturbation"), "?"),
    "no column of donors": (without("donor"), "?"),
}


@pytest.mark.filterwarnings("ignore")  # anndata warns of what is spoilt here
@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_cells_that_cannot_be_learned_from(desk: Path, refused: Refused, spoil: Spoil, message: str) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    spoilt = spoil(cells)
    cells = cells if spoilt is None else spoilt  # a table without cells counts as false
    (desk / "cells.h5ad").unlink()
    cells.write_h5ad(desk / "cells.h5ad")
    refused("train", "train.yaml", says=message)


def truncated(desk: Path, wrong: Path) -> None:
    content = (desk / "cells.h5ad").read_bytes()
    wrong.write_bytes(content[: len(content) // 2])


def with_a_hole(desk: Path, wrong: Path) -> None:
    with h5py.File(desk / "cells.h5ad") as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    content = bytearray((desk / "cells.h5ad").read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    wrong.write_bytes(bytes(content))


def hdf5_of_another_kind(desk: Path, wrong: Path) -> None:
    with h5py.File(wrong, "w") as file:
        file["matrix/data"] = np.arange(4)
        file["matrix/barcodes"] = np.array([b"AAAC", b"AAAG"])


def without_group(name: str) -> Callable[[Path, Path], None]:
    def make(desk: Path, wrong: Path) -> None:
        shutil.copy((desk / "cells.h5ad").resolve(), wrong)
        with h5py.File(wrong, "a") as file:
            del file[name]

    return make


def of_other_sizes(desk: Path, wrong: Path) -> None:
    shutil.copy((desk / "cells.h5ad").resolve(), wrong)
    with h5py.File(wrong, "a") as file:
        indptr = file["X/indptr"][:-7]
        del file["X/indptr"]
        file["X/indptr"] = indptr


def beyond_the_genes(desk: Path, wrong: Path) -> None:
    shutil.copy((desk / "cells.h5ad").resolve(), wrong)
    with h5py.File(wrong, "a") as file:
        file["X/indices"][3] = 1_000_000


def written(content: bytes) -> Callable[[Path, Path], None]:
    return lambda desk, wrong: wrong.write_bytes(content) and None


def a_parquet(desk: Path, wrong: Path) -> None:
    pd.DataFrame({"gene": ["A"]}).to_parquet(wrong)


def a_folder(desk: Path, wrong: Path) -> None:
    wrong.mkdir()


def a_zarr(desk: Path, wrong: Path) -> None:
    anndata.read_h5ad(desk / "cells.h5ad").write_zarr(wrong)


def a_zarr_without(name: str) -> Callable[[Path, Path], None]:
    def make(desk: Path, wrong: Path) -> None:
        a_zarr(desk, wrong)
        shutil.rmtree(wrong / name)
        if (wrong / "zarr.json").exists():  # what is there is written once more at the top
            text = (wrong / "zarr.json").read_text()
            (wrong / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}' if text else "")

    return make


def a_zarr_with_a_hole(desk: Path, wrong: Path) -> None:
    a_zarr(desk, wrong)
    chunk = next(each for each in sorted((wrong / "X" / "data").rglob("*")) if each.is_file() and each.name != "zarr.json" and not each.name.startswith("."))
    chunk.write_bytes(b"\x00" * 7)


FILES: dict[str, tuple[str, Callable[[Path, Path], None] | None, str]] = {
    "not there": ("wrong.h5ad", None, "?"),
    "empty": ("wrong.h5ad", written(b""), "?"),
    "a text": ("wrong.h5ad", written(b"cell,gene\n"), "?"),
    "truncated": ("wrong.h5ad", truncated, "?"),
    "with a hole": ("wrong.h5ad", with_a_hole, "?"),
    "HDF5 of another kind": ("wrong.h5ad", hdf5_of_another_kind, "?"),
    "without obs": ("wrong.h5ad", without_group("obs"), "?"),
    "without var": ("wrong.h5ad", without_group("var"), "?"),
    "without X": ("wrong.h5ad", without_group("X"), "?"),
    "without the indices of X": ("wrong.h5ad", without_group("X/indices"), "?"),
    "X of other sizes": ("wrong.h5ad", of_other_sizes, "?"),
    "X beyond the genes": ("wrong.h5ad", beyond_the_genes, "?"),
    "Parquet": ("wrong.h5ad", a_parquet, "?"),
    "gzip": ("wrong.h5ad", written(gzip.compress(b"cells")), "?"),
    "a folder": ("wrong.h5ad", a_folder, "?"),
    "another ending": ("wrong.loom", written(b"cells"), "?"),
    "no ending": ("wrong", written(b"cells"), "?"),
    "zarr that isn't there": ("wrong.zarr", None, "?"),
    "an empty zarr": ("wrong.zarr", a_folder, "?"),
    "a zarr that is a file": ("wrong.zarr", written(b"cells"), "?"),
    "a zarr without obs": ("wrong.zarr", a_zarr_without("obs"), "?"),
    "a zarr without X": ("wrong.zarr", a_zarr_without("X"), "?"),
    "a zarr with a hole": ("wrong.zarr", a_zarr_with_a_hole, "?"),
    "a pattern that fits nothing": ("wrong/*.h5ad", None, "?"),
    "an unknown scheme": ("gopher://host/cells.h5ad", None, "?"),
    "a scheme without its package": ("gs://bucket/cells.h5ad", None, "?"),
    "a URL of nothing": ("memory://nowhere/cells.h5ad", None, "?"),
    "a bucket without a name": ("s3:///cells.h5ad", None, "?"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("in_memory", ["auto", "false"])
@pytest.mark.parametrize(("name", "make", "message"), FILES.values(), ids=FILES)
def test_a_file_without_cells(
    desk: Path,
    edited: Edited,
    refused: Refused,
    name: str,
    make: Callable[[Path, Path], None] | None,
    message: str,
    in_memory: str,
) -> None:
    if make is not None:
        make(desk, desk / name)
    edited("train.yaml", "  path: cells.h5ad", f"  path: {name}\n  in_memory: {in_memory}")
    refused("train", "train.yaml", says=message)


COLUMNS: dict[str, tuple[str, str, str]] = {
    "another label of controls": ("  control: control", "  control: NT", "?"),
    "a column that isn't there": ("    donor: donor", "    donor: doner", "?"),
    "a layer that isn't there": ("  layer: null", "  layer: counts", "?"),
    "a depth that is none": ("    donor: donor", "    donor: donor\n    depth: dose", "?"),
    "a method that is none": ("    donor: donor", "    donor: donor\n    method: cell_type", "?"),
    "a type that is none": ("    perturbation_type: perturbation_type", "    perturbation_type: cell_type", "?"),
    "the batch as context": ("  context: [cell_type, donor]", "  context: [cell_type, donor, plate]", "?"),
}


@pytest.mark.parametrize(("line", "instead", "message"), COLUMNS.values(), ids=COLUMNS)
def test_columns_that_mean_something_else(edited: Edited, refused: Refused, line: str, instead: str, message: str) -> None:
    edited("train.yaml", line, instead)
    refused("train", "train.yaml", says=message)


def test_two_files_of_other_genes(desk: Path, edited: Edited, refused: Refused) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells[:, ::-1].copy().write_h5ad(desk / "turned.h5ad")
    cells[:, 3:].copy().write_h5ad(desk / "fewer.h5ad")
    cells.var_names = [f"OTHER{i}" for i in range(cells.n_vars)]
    cells.write_h5ad(desk / "others.h5ad")
    edited("train.yaml", "  path: cells.h5ad", "  path: [cells.h5ad, turned.h5ad]")
    refused("train", "train.yaml", says="?")
    edited("train.yaml", "  path: [cells.h5ad, turned.h5ad]", "  path: [cells.h5ad, fewer.h5ad]")
    refused("train", "train.yaml", says="?")
    edited("train.yaml", "  path: [cells.h5ad, fewer.h5ad]", "  path: [cells.h5ad, others.h5ad]\n  genes: intersection")
    refused("train", "train.yaml", says="?")
    edited("train.yaml", "  path: [cells.h5ad, others.h5ad]", "  path: ['*.h5ad', cells.h5ad]")
    refused("train", "train.yaml", says="?")


def test_barcodes_that_stand_there_twice(desk: Path, refused: Refused) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells.obs_names = ["AAAC", "AAAC", *cells.obs_names[2:]]
    (desk / "cells.h5ad").unlink()
    cells.write_h5ad(desk / "cells.h5ad")
    refused("evaluate", "evaluate.yaml", says="?")


def test_cells_that_share_no_gene_with_the_model(desk: Path, refused: Refused) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells.var_names = [f"ENSG{i:011}" for i in range(cells.n_vars)]
    cells.write_h5ad(desk / "others.h5ad")
    refused("embed", "others.h5ad", "model", "-o", "new.h5ad", says="?")
    refused("adapt", "model", "others.h5ad", "-o", "adapted", says="?")


@pytest.mark.filterwarnings("ignore")
def test_predicted_cells_that_cannot_be_scored_are_a_partial_failure(
    desk: Path, edited: Edited, lingshu: Callable[..., tuple[int, str, str]]
) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells.X = np.log1p(dense(cells))
    cells.write_h5ad(desk / "predicted.h5ad")
    edited("evaluate.yaml", "  - {name: tilted, training: {epochs: 1}}", "  - {name: theirs, cells: predicted.h5ad}")
    code, _, err = lingshu("evaluate", "evaluate.yaml")
    assert (code, err) == (3, "error: some units failed; the report says which and why\n")
    assert "no integers" in (desk / "out" / "report.md").read_text()
