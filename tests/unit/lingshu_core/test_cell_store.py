from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch

from lingshu_core import cell_store
from lingshu_core.cell_files import read_all
from lingshu_core.cell_store import CACHE, open_store
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.denoiser import DenoiserConfig
from lingshu_core.errors import MissingColumn, NotCounts, UnreadableCells, UnusableCells
from lingshu_core.preparation import build_vocabulary, gene_statistics

SourceOf = Callable[..., CellSource]
pytestmark = pytest.mark.filterwarnings("ignore:.*zarr v[23]:UserWarning", "ignore:Consolidated metadata")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_store, "PASS_CELLS", 17)


@pytest.fixture
def parts_of(tmp_path: Path, source_of: SourceOf) -> Callable[..., list[CellSource]]:
    """Cut a table into files of about equal length, the last one a zarr store."""

    def write(table: anndata.AnnData, count: int = 3, **fields: object) -> list[CellSource]:
        source, sources = source_of(table, **fields), []
        for number, rows in enumerate(np.array_split(np.arange(table.n_obs), count)):
            part, path = table[rows].copy(), tmp_path / f"part{number}.h5ad"
            if number == count - 1:
                path = path.with_suffix(".zarr")
                part.write_zarr(path)
            else:
                part.write_h5ad(path)
            sources.append(replace(source, path=str(path)))
        return sources

    return write


def held_out(cells: Cells) -> np.ndarray:
    return np.asarray(cells.matching({"donor": "D2", "perturbation": "STAT1"}))


def test_a_store_comes_to_the_same_numbers_as_memory(
    table: anndata.AnnData, parts_of: Callable[..., list[CellSource]], small_config: DenoiserConfig
) -> None:
    sources = parts_of(table)
    whole = read_all(sources)
    cells = whole.select(~held_out(whole))
    stored, left_out = open_store(sources, held_out=held_out)
    assert left_out == held_out(whole).sum() > 0
    assert (stored.genes, stored.control, len(stored)) == (cells.genes, cells.control, len(cells))
    assert stored.obs.equals(cells.obs)
    assert np.array_equal(stored.depth, cells.depth)
    assert stored.digest() == cells.digest()
    vocabulary = build_vocabulary(cells)
    assert build_vocabulary(stored) == vocabulary
    for config in (small_config, replace(small_config, gene_bias=False)):
        found, expected = gene_statistics(stored, vocabulary, config), gene_statistics(cells, vocabulary, config)
        assert all(torch.equal(getattr(found, name), getattr(expected, name)) for name in vars(expected))


def test_several_files_read_into_memory_are_the_one_they_were_cut_from(
    table: anndata.AnnData, source_of: SourceOf, parts_of: Callable[..., list[CellSource]]
) -> None:
    assert read_all(parts_of(table)).digest() == read_cells(source_of(table)).digest()


def test_counts_on_disk_are_not_taken_for_counts_in_memory(table: anndata.AnnData, source_of: SourceOf) -> None:
    stored, _ = open_store([source_of(table)])
    with pytest.raises(UnusableCells, match="needs the counts in memory"):
        stored.counts.sum(axis=0)
    with pytest.raises(UnusableCells, match=r"set data\.in_memory: true"):
        stored.select(stored.is_control).log1p_per_10k()
    assert len(stored.select(stored.is_control)) == stored.is_control.sum()


def test_a_sample_in_memory_is_even_over_conditions(
    table: anndata.AnnData, parts_of: Callable[..., list[CellSource]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = parts_of(table)
    cells, (stored, _) = read_all(sources), open_store(sources)
    assert stored.counted().digest() == cells.digest() == cells.counted().digest()
    monkeypatch.setattr(cell_store, "SAMPLE_CELLS", 80)
    monkeypatch.setattr(cell_store, "SAMPLE_OF_CONDITION", (5, 500))
    sample = stored.counted()
    assert set(sample.obs.groupby(["cell_type", "donor", "perturbation"]).size()) == {4, 5}
    rows = np.array([3, 40, 41, 120])
    assert (stored.loaded(rows).counts != cells.counts[rows]).nnz == 0


def test_the_pass_is_made_once(table: anndata.AnnData, source_of: SourceOf, tmp_path: Path) -> None:
    source, folder = source_of(table), tmp_path / "output"
    first, _ = open_store([source], cache=str(folder))
    assert (folder / CACHE).exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_store, "_read_through", lambda *_: pytest.fail("the files were read again"))
        again, _ = open_store([source], cache=str(folder))
    assert again.digest() == first.digest()
    assert np.array_equal(again.histogram.counts, first.histogram.counts)
    # Another file, other cells left out, or a damaged cache: the pass is made again.
    fewer, _ = open_store([source], held_out=held_out, cache=str(folder))
    assert fewer.digest() != first.digest()
    (folder / CACHE).write_bytes(b"half")
    anew, _ = open_store([source], cache=str(folder))
    assert anew.digest() == first.digest()
    for each in (first, again, fewer, anew):
        each.close()
    table.X[0, 0] += 1
    assert open_store([source_of(table)], cache=str(folder))[0].digest() != first.digest()


def test_what_memory_refuses_is_refused_on_disk(
    table: anndata.AnnData, parts_of: Callable[..., list[CellSource]], source_of: SourceOf
) -> None:
    logged = table.copy()
    logged.X.data[-1] = 0.5
    with pytest.raises(NotCounts, match=r"part2\.zarr: X has values that are no integers \(such as 0.5"):
        open_store(parts_of(logged))
    with pytest.raises(MissingColumn, match=r"part0\.h5ad: obs has no column 'kind'"):
        open_store(parts_of(anndata.AnnData(table.X, obs=table.obs.drop(columns="kind"), var=table.var)))
    with pytest.raises(MissingColumn, match=r"layer 'counts' is not in the file; layers are: none"):
        open_store(parts_of(table, layer="counts"))
    with pytest.raises(UnusableCells, match=r"part0\.h5ad, .*: no control cells: no cell is labelled 'PBS'"):
        open_store(parts_of(table, control="PBS", columns={"perturbation": "treatment"}))
    empty = table.copy()
    empty.X.data[: empty.X.indptr[1]] = 0
    with pytest.raises(UnusableCells, match=r"part0\.h5ad: 1 cells have no counts at all"):
        open_store(parts_of(empty))
    by_genes = table.copy()
    by_genes.X = by_genes.X.tocsc()
    with pytest.raises(UnusableCells, match=r"stored by genes \(CSC\).*or set data.in_memory: true"):
        open_store([source_of(by_genes)])


@pytest.mark.parametrize("name", ["none.h5ad", "none.zarr"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str, source_of: SourceOf) -> None:
    source = CellSource(str(tmp_path / name), {"perturbation": "treatment"})
    with pytest.raises(UnreadableCells, match=f"{name}: no such file"):
        open_store([source])
    with pytest.raises(UnreadableCells, match=f"{name}: no such file"):
        read_cells(source)
