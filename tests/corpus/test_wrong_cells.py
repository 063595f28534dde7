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
    "log values": (
        with_counts(np.log1p),
        "cells.h5ad: X has values that are no integers (such as 1.09861; log-normalised?); give raw "
        "UMI counts: name the layer that holds them with data.layer",
    ),
    "normalised values": (
        with_counts(lambda counts: counts / counts.sum(axis=1, keepdims=True) * 1e4),
        "cells.h5ad: X has values that are no integers (such as 7.70416; normalised?); give raw UMI "
        "counts: name the layer that holds them with data.layer",
    ),
    "scaled values": (
        with_counts(lambda counts: counts - counts.mean(axis=0).round()),
        "cells.h5ad: X has negative values (smallest -1020), as after scaling; give raw UMI counts: "
        "name the layer that holds them with data.layer",
    ),
    "a negative value": (
        with_one(-1),
        "cells.h5ad: X has negative values (smallest -1), as after scaling; give raw UMI counts: "
        "name the layer that holds them with data.layer",
    ),
    "NaN": (
        with_one(np.nan),
        "cells.h5ad: X has NaN or infinite values; give raw UMI counts: name the layer that holds them with data.layer",
    ),
    "infinity": (
        with_one(np.inf),
        "cells.h5ad: X has NaN or infinite values; give raw UMI counts: name the layer that holds them with data.layer",
    ),
    "a fraction": (
        with_one(1.5),
        "cells.h5ad: X has values that are no integers (such as 1.5; normalised?); give raw UMI "
        "counts: name the layer that holds them with data.layer",
    ),
    "a count of four billion": (
        with_one(4e9),
        "cells.h5ad: X has a value of 4e+09, and no cell has 2,147,483,647 UMIs of a gene; give raw "
        "UMI counts: name the layer that holds them with data.layer",
    ),
    "a count of four billion as integer": (
        with_one(4_000_000_000, np.int64),
        "cells.h5ad: X has a value of 4e+09, and no cell has 2,147,483,647 UMIs of a gene; give raw "
        "UMI counts: name the layer that holds them with data.layer",
    ),
    "complex numbers": (
        with_counts(lambda counts: counts.astype(complex)),
        "cells.h5ad: X holds complex128 and no numbers of UMIs; give raw UMI counts",
    ),
    "yes and no": (
        with_counts(lambda counts: counts > 0),
        "cells.h5ad: X holds bool and no numbers of UMIs; give raw UMI counts",
    ),
    "texts": (
        with_counts(lambda counts: counts.astype(int).astype(str).astype(object)),
        "cells.h5ad: X holds object and no numbers of UMIs; give raw UMI counts",
    ),
    "nothing but nought": (
        with_counts(lambda counts: sp.csr_matrix(counts.shape)),
        "cells.h5ad: 432 cells have no counts at all; drop them (scanpy.pp.filter_cells)",
    ),
    "an empty cell": (
        with_counts(an_empty_cell),
        "cells.h5ad: 1 cells have no counts at all; drop them (scanpy.pp.filter_cells)",
    ),
    "no matrix": (without_matrix, "cells.h5ad: X is empty; name the layer that holds raw counts with data.layer"),
    "no cell": (only(lambda obs: obs["donor"] == "nobody"), "cells.h5ad: there are no cells in the file"),
    "no gene": (lambda cells: cells[:, :0].copy(), "cells.h5ad: there are no genes in the file"),
    "a gene twice": (
        named("TWIN", "TWIN"),
        "cells.h5ad: var_names has 1 duplicate genes (TWIN); sum or drop them "
        "(AnnData.var_names_make_unique would invent genes that nobody can ask for)",
    ),
    "a gene without a name": (named(""), "cells.h5ad: var_names has 1 genes without a name; name them or drop them"),
    "no control": (
        only(lambda obs: obs["perturbation"] != "control"),
        "cells.h5ad: no control cells: no cell is labelled 'control'; set data.control to one of: "
        "REG04, REG05, REG08, REG10, DRUG01, REG04+REG09, REG09, DRUG02, REG04+REG08",
    ),
    "nothing but controls": (
        only(lambda obs: obs["perturbation"] == "control"),
        "cells.h5ad: every cell is labelled 'control': there is no perturbation to learn; for an "
        "atlas, to generate and embed with, write data.columns.perturbation: null",
    ),
    "a label missing": (
        with_column("perturbation", first(None)),
        "cells.h5ad: 1 cells have no perturbation label; drop them or label them",
    ),
    "a label of nothing": (
        with_column("perturbation", first("  ", 2)),
        "cells.h5ad: 2 cells have no perturbation label; drop them or label them",
    ),
    "a plus sign too many": (
        with_column("perturbation", treated("REG04+")),
        "cells.h5ad: perturbation 'REG04+' has nothing on one side of a plus sign, which joins "
        "combinations (A+B); put a plus sign that belongs to a name into round brackets, such as "
        "'Ca(2+)'",
    ),
    "a perturbation without cells": (
        unused_categories,
        "cells.h5ad: obs['perturbation'] lists perturbations with no cells: REG77; drop them with "
        "adata.obs['perturbation'].cat.remove_unused_categories()",
    ),
    "an unknown type": (
        with_column("perturbation_type", treated("crispr")),
        "cells.h5ad: obs['perturbation_type'] has the types crispr; a perturbation is one of "
        "genetic, cytokine, drug, environment",
    ),
    "a label of two types": (
        two_types,
        "cells.h5ad: label 'REG04' has the types drug and genetic; rename one, such as 'REG04 (drug)'",
    ),
    "a dose in words": (
        with_column("dose", lambda column: treated("high")(column.astype(str))),
        "cells.h5ad: obs['dose'] has 3 doses that are no numbers (such as 'high'); write them as "
        "numbers in one unit, empty for none",
    ),
    "a negative dose": (
        with_column("dose", lambda column: treated(-1.0)(column).astype(float)),
        "cells.h5ad: obs['dose'] has negative doses; give them on a linear scale",
    ),
    "a drug at dose nought": (
        a_drug_at_nought,
        "cells.h5ad: 1 cells have a drug at dose 0, which is no treatment; label them 'control'",
    ),
    "a donor missing": (
        with_column("donor", first(None, 3)),
        "cells.h5ad: 3 cells have no 'donor', which is part of the context; drop them or label them",
    ),
    "a donor for each treatment": (
        a_batch_a_treatment,
        "cells.h5ad: 'donor' determines the perturbation (no value of it has both controls and "
        "perturbed cells), so their effects can't be told apart; leave it out of data.context",
    ),
    "no column of perturbations": (
        without("perturbation"),
        "cells.h5ad: obs has no column 'perturbation' (data.columns.perturbation); columns are: "
        "perturbation_type, method, cell_type, donor, batch, dose",
    ),
    "no column of donors": (
        without("donor"),
        "cells.h5ad: obs has no column 'donor' (data.columns.donor); columns are: perturbation, "
        "perturbation_type, method, cell_type, batch, dose",
    ),
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
            (wrong / "zarr.json").write_text(
                '{"zarr_format": 3, "node_type": "group", "attributes": {}}' if text else ""
            )

    return make


def a_zarr_with_a_hole(desk: Path, wrong: Path) -> None:
    a_zarr(desk, wrong)
    chunk = next(
        each
        for each in sorted((wrong / "X" / "data").rglob("*"))
        if each.is_file() and each.name != "zarr.json" and not each.name.startswith(".")
    )
    chunk.write_bytes(b"\x00" * 7)


FILES: dict[str, tuple[str, Callable[[Path, Path], None] | None, str]] = {
    "not there": (
        "wrong.h5ad",
        None,
        "wrong.h5ad: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "empty": ("wrong.h5ad", written(b""), "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad"),
    "a text": (
        "wrong.h5ad",
        written(b"cell,gene\n"),
        "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "truncated": (
        "wrong.h5ad",
        truncated,
        "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "with a hole": (
        "wrong.h5ad",
        with_a_hole,
        "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "HDF5 of another kind": (
        "wrong.h5ad",
        hdf5_of_another_kind,
        "wrong.h5ad: not a readable .h5ad (there is no obs and no var in it); write it with AnnData.write_h5ad",
    ),
    "without obs": (
        "wrong.h5ad",
        without_group("obs"),
        "wrong.h5ad: not a readable .h5ad (there is no obs in it); write it with AnnData.write_h5ad",
    ),
    "without var": (
        "wrong.h5ad",
        without_group("var"),
        "wrong.h5ad: not a readable .h5ad (there is no var in it); write it with AnnData.write_h5ad",
    ),
    "without X": (
        "wrong.h5ad",
        without_group("X"),
        "wrong.h5ad: X is empty; name the layer that holds raw counts with data.layer",
    ),
    "without the indices of X": (
        "wrong.h5ad",
        without_group("X/indices"),
        "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "X of other sizes": (
        "wrong.h5ad",
        of_other_sizes,
        "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "X beyond the genes": (
        "wrong.h5ad",
        beyond_the_genes,
        "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "Parquet": ("wrong.h5ad", a_parquet, "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad"),
    "gzip": (
        "wrong.h5ad",
        written(gzip.compress(b"cells")),
        "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "a folder": ("wrong.h5ad", a_folder, "wrong.h5ad: not a readable .h5ad ([...]); write it with AnnData.write_h5ad"),
    "another ending": (
        "wrong.loom",
        written(b"cells"),
        "wrong.loom: not a readable .h5ad ([...]); write it with AnnData.write_h5ad",
    ),
    "no ending": ("wrong", written(b"cells"), "wrong: not a readable .h5ad ([...]); write it with AnnData.write_h5ad"),
    "zarr that isn't there": (
        "wrong.zarr",
        None,
        "wrong.zarr: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "an empty zarr": (
        "wrong.zarr",
        a_folder,
        "wrong.zarr: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
    "a zarr that is a file": (
        "wrong.zarr",
        written(b"cells"),
        "wrong.zarr: not a readable .zarr (it is a file, and a zarr store is a folder); write it "
        "with AnnData.write_zarr",
    ),
    "a zarr without obs": (
        "wrong.zarr",
        a_zarr_without("obs"),
        "wrong.zarr: not a readable .zarr ([...]); write it with AnnData.write_zarr",
    ),
    "a zarr without X": (
        "wrong.zarr",
        a_zarr_without("X"),
        "wrong.zarr: not a readable .zarr (1 of 1 chunks of X/data are missing; copy it again); "
        "write it with AnnData.write_zarr",
    ),
    "a zarr with a hole": (
        "wrong.zarr",
        a_zarr_with_a_hole,
        "wrong.zarr: not a readable .zarr ([...]); write it with AnnData.write_zarr",
    ),
    "a pattern that fits nothing": (
        "wrong/*.h5ad",
        None,
        "wrong/*.h5ad: no file fits this pattern; check the path (and LINGSHU_DATA, if it is used)",
    ),
    "an unknown scheme": (
        "gopher://host/cells.h5ad",
        None,
        "gopher://host/cells.h5ad: can't be reached (Protocol not known: gopher); use a path, or an s3:// URL",
    ),
    "a scheme without its package": (
        "gs://bucket/cells.h5ad",
        None,
        "gs://bucket/cells.h5ad: can't be reached (Please install gcsfs to access Google Storage); "
        "pip install 'lingshu-screen[gcs]', on every node",
    ),
    "a URL of nothing": (
        "memory://nowhere/cells.h5ad",
        None,
        "memory://nowhere/cells.h5ad: no such file; check the path (and LINGSHU_DATA, if the path uses it)",
    ),
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
    "another label of controls": (
        "  control: control",
        "  control: NT",
        "cells.h5ad: no control cells: no cell is labelled 'NT'; set data.control to one of: "
        "control, REG04, REG05, REG08, REG10, DRUG01, REG04+REG09, REG09, DRUG02, REG04+REG08",
    ),
    "a column that isn't there": (
        "    donor: donor",
        "    donor: doner",
        "cells.h5ad: obs has no column 'doner' (data.columns.donor); columns are: perturbation, "
        "perturbation_type, method, cell_type, donor, batch, dose",
    ),
    "a layer that isn't there": (
        "  layer: null",
        "  layer: counts",
        "cells.h5ad: layer 'counts' is not in the file; layers are: none",
    ),
    "a depth that is none": (
        "    donor: donor",
        "    donor: donor\n    depth: dose",
        "cells.h5ad: obs['dose'] (data.columns.depth) must be the total UMIs of each cell, at least "
        "the sum of the counts in the file",
    ),
    "a method that is none": (
        "    donor: donor",
        "    donor: donor\n    method: cell_type",
        "cells.h5ad: obs['cell_type']: unknown method 'type_1', 'type_2'; a method is one of "
        "knockout, CRISPRi, CRISPRa: rename the values, or leave data.columns.method out",
    ),
    "a type that is none": (
        "    perturbation_type: perturbation_type",
        "    perturbation_type: cell_type",
        "cells.h5ad: obs['cell_type'] has the types type_1, type_2; a perturbation is one of "
        "genetic, cytokine, drug, environment",
    ),
    "the batch as context": (
        "  context: [cell_type, donor]",
        "  context: [cell_type, donor, plate]",
        "train.yaml:14: data.context[2]: 'plate' isn't named in data.columns; known: cell_type, donor",
    ),
}


@pytest.mark.parametrize(("line", "instead", "message"), COLUMNS.values(), ids=COLUMNS)
def test_columns_that_mean_something_else(
    edited: Edited, refused: Refused, line: str, instead: str, message: str
) -> None:
    edited("train.yaml", line, instead)
    refused("train", "train.yaml", says=message)


def test_two_files_of_other_genes(desk: Path, edited: Edited, refused: Refused) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells[:, ::-1].copy().write_h5ad(desk / "turned.h5ad")
    cells[:, 3:].copy().write_h5ad(desk / "fewer.h5ad")
    cells.var_names = [f"OTHER{i}" for i in range(cells.n_vars)]
    cells.write_h5ad(desk / "others.h5ad")
    edited("train.yaml", "  path: cells.h5ad", "  path: [cells.h5ad, turned.h5ad]")
    refused(
        "train",
        "train.yaml",
        says="turned.h5ad: the genes are those of cells.h5ad in another order (gene 1 is GENE30); set "
        "data.genes: intersection to keep the genes that all files have, in the order of the "
        "first",
    )
    edited("train.yaml", "  path: [cells.h5ad, turned.h5ad]", "  path: [cells.h5ad, fewer.h5ad]")
    refused(
        "train",
        "train.yaml",
        says="fewer.h5ad: the genes are not those of cells.h5ad: 3 missing (REG01, REG02, REG03); set "
        "data.genes: intersection to keep the genes that all files have, in the order of the "
        "first",
    )
    edited("train.yaml", "  path: [cells.h5ad, fewer.h5ad]", "  path: [cells.h5ad, others.h5ad]\n  genes: intersection")
    refused(
        "train",
        "train.yaml",
        says="no gene is in all of cells.h5ad, others.h5ad; are the names of one kind and species?",
    )
    edited("train.yaml", "  path: [cells.h5ad, others.h5ad]", "  path: ['*.h5ad', cells.h5ad]")
    refused("train", "train.yaml", says="cells.h5ad: the file is named twice in data.path; name it once")


def test_barcodes_that_stand_there_twice(desk: Path, refused: Refused) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells.obs_names = ["AAAC", "AAAC", *cells.obs_names[2:]]
    (desk / "cells.h5ad").unlink()
    cells.write_h5ad(desk / "cells.h5ad")
    refused(
        "evaluate",
        "evaluate.yaml",
        says="cells.h5ad: 1 cells have the name of another one (AAAC), and a split tells cells by "
        "their names; make obs_names unique (AnnData.obs_names_make_unique), or drop cells that "
        "are there twice",
    )


def test_cells_that_share_no_gene_with_the_model(desk: Path, refused: Refused) -> None:
    cells = anndata.read_h5ad(desk / "cells.h5ad")
    cells.var_names = [f"ENSG{i:011}" for i in range(cells.n_vars)]
    cells.write_h5ad(desk / "others.h5ad")
    refused(
        "embed",
        "others.h5ad",
        "model",
        "-o",
        "new.h5ad",
        says="others.h5ad: 0 of the model's 40 genes are among the file's 40, and at least 30% are "
        "needed; are the names of one kind and species? the model's: REG01, REG02, REG03; the "
        "file's: ENSG00000000000, ENSG00000000001, ENSG00000000002",
    )
    refused(
        "adapt",
        "model",
        "others.h5ad",
        "-o",
        "adapted",
        says="others.h5ad: 0 of the model's 40 genes are among the file's 40, and at least 30% are "
        "needed; are the names of one kind and species? the model's: REG01, REG02, REG03; the "
        "file's: ENSG00000000000, ENSG00000000001, ENSG00000000002",
    )


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
