from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest

from lingshu_core.cell_files import find_files, read_all, with_common_genes
from lingshu_core.cell_store import open_store
from lingshu_core.cells import CellSource, read_cells
from lingshu_core.errors import UnreadableCells, UnusableCells

SourceOf = Callable[..., CellSource]


@pytest.fixture
def two(table: anndata.AnnData, source_of: SourceOf, tmp_path: Path) -> Callable[..., list[CellSource]]:
    """Write the first and the second half of the cells with the genes given."""
    source = source_of(table)

    def write(first: np.ndarray, second: np.ndarray) -> list[CellSource]:
        half = table.n_obs // 2
        table[:half, first].copy().write_h5ad(tmp_path / "one.h5ad")
        table[half:, second].copy().write_h5ad(tmp_path / "two.h5ad")
        return [replace(source, path=str(tmp_path / name)) for name in ("one.h5ad", "two.h5ad")]

    return write


ALL = np.arange(23)


def test_other_genes_are_refused_with_the_difference(two: Callable[..., list[CellSource]]) -> None:
    with pytest.raises(UnusableCells, match=r"two\.h5ad: the genes are not those of .*one\.h5ad: 3 missing") as told:
        read_all(two(ALL, ALL[:20]))
    assert "(GENE20, GENE21, GENE22)" in str(told.value)
    assert "data.genes: intersection" in str(told.value)
    with pytest.raises(UnusableCells, match=r"2 missing \(GENE0, GENE1\) and 1 added \(GENE22\)"):
        open_store(two(ALL[:22], ALL[2:]))
    with pytest.raises(UnusableCells, match=r"in another order \(gene 1 is GENE22\)"):
        read_all(two(ALL, ALL[::-1]))


def test_the_intersection_keeps_the_order_of_the_first_file(
    two: Callable[..., list[CellSource]], table: anndata.AnnData
) -> None:
    sources = two(ALL[:20][::-1], ALL[3:])
    cells = read_all(sources, "intersection")
    expected = [f"GENE{gene}" for gene in range(19, 2, -1)]
    assert list(cells.genes) == expected
    assert np.array_equal(cells.counts.toarray(), table[:, expected].X.toarray())
    assert np.array_equal(cells.depth, table[:, expected].X.sum(axis=1).A1)  # of the genes kept
    stored, _ = open_store(sources, "intersection")
    assert stored.digest() == cells.digest()
    stored.close()
    with pytest.raises(UnusableCells, match="no gene is in all of"):
        with_common_genes(two(ALL[:3], ALL[3:]), "intersection")


def test_an_arm_may_have_a_file_of_its_own(table: anndata.AnnData, source_of: SourceOf, tmp_path: Path) -> None:
    source = source_of(table)
    control = (table.obs["treatment"] == "ctrl").to_numpy()
    sources = [replace(source, path=str(tmp_path / name)) for name in ("arm.h5ad", "control.h5ad")]
    for part, rows in zip(sources, (~control, control), strict=True):
        table[rows].copy().write_h5ad(part.path)
    with pytest.raises(UnusableCells, match=r"arm\.h5ad: no control cells"):
        read_cells(sources[0])
    assert read_all(sources).is_control.sum() == control.sum()
    with pytest.raises(UnusableCells, match=r"arm\.h5ad, .*arm\.h5ad: no control cells"):
        read_all([sources[0], sources[0]])


def test_patterns_name_files_in_sorted_order(tmp_path: Path, memory_url: str) -> None:
    for name in ("b.h5ad", "a.h5ad", "c[1].h5ad"):
        (tmp_path / name).touch()
    (tmp_path / "d.zarr").mkdir()
    assert find_files([f"{tmp_path}/?.*"]) == tuple(f"{tmp_path}/{name}" for name in ("a.h5ad", "b.h5ad", "d.zarr"))
    assert find_files([f"{tmp_path}/c[1].h5ad"]) == (f"{tmp_path}/c[1].h5ad",)
    assert find_files(["s3://bucket/plain.h5ad"]) == ("s3://bucket/plain.h5ad",)
    with pytest.raises(UnreadableCells, match=r"z\*\.h5ad: no file fits this pattern"):
        find_files([f"{tmp_path}/z*.h5ad"])
    with pytest.raises(UnreadableCells, match=r"a\.h5ad: the file is named twice"):
        find_files([f"{tmp_path}/*.h5ad", f"{tmp_path}/a.h5ad"])


def test_a_file_is_the_same_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5ad").touch()
    (tmp_path / "link.h5ad").symlink_to("a.h5ad")
    monkeypatch.chdir(tmp_path)
    for paths in (("a*.h5ad", "a.h5ad"), ("a.h5ad", "./a.h5ad"), ("a.h5ad", "link.h5ad")):
        with pytest.raises(UnreadableCells, match="the file is named twice"):
            find_files(paths)


def test_patterns_work_on_urls(table: anndata.AnnData, source_of: SourceOf, memory_url: str) -> None:
    import fsspec

    source = source_of(table)
    for name in ("x", "y"):
        with fsspec.open(f"{memory_url}/{name}.h5ad", "wb") as file:
            file.write(Path(source.path).read_bytes())
    paths = find_files([f"{memory_url}/*.h5ad"])
    assert len(paths) == 2
    sources = [replace(source, path=path) for path in paths]
    assert len(read_all(sources)) == len(open_store(sources)[0]) == 2 * table.n_obs
