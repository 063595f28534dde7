"""Drawn cells of a run as AnnData zarr, for scanpy: ``cells.zarr`` beside the hit table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata import AnnData

from actors.blobs import Blobs, open_blobs
from campaigns.plan import PlannedCondition
from screening.errors import ResultsError
from screening.folding.aggregation import CommittedBlocks, blocks_by_condition, read_blocks
from screening.planning.campaign import PlannedCampaign
from screening.publishing.publication import location
from screening.running.store import DrawnCells

CELLS = "cells.zarr"


def export_cells(planned: PlannedCampaign, ledger: CommittedBlocks, committed: frozenset[str], output: str) -> str:
    """Write the cells of all complete conditions, controls included.

    Returns
    -------
    The path or URL of the zarr store.

    Raises
    ------
    ResultsError
        If no block has cells.
    """
    blocks = blocks_by_condition(planned.plan)
    parts, frames = [], []
    members = [{"member": member.name} for member in planned.plan.members] or [{}]
    for condition in planned.plan.conditions:
        if any(block.id not in committed for key in condition.keys for block in blocks[key]):
            continue
        for key, member in zip(condition.keys, members, strict=True):
            for block, result in zip(blocks[key], read_blocks(blocks[key], ledger), strict=True):
                if result.cells is not None:
                    parts.append(result.cells.counts)
                    first, per_shard = block.first_shard, result.cells_per_shard
                    frames.append(_obs(condition, key, member, result.cells, first, per_shard))
    if not parts:
        raise ResultsError(f"{output}: no block holds cells; set estimator.kind: sampled and store_cells: true")
    # The middle of a bin may be no integer; counts have to be.
    counts = sp.vstack(parts).tocsr()
    counts.data = np.floor(counts.data).astype(np.int32)
    cells = AnnData(
        X=counts.astype(np.int32),
        obs=pd.concat(frames, ignore_index=True).set_index("cell"),
        var=pd.DataFrame(index=pd.Index(planned.campaign.model.vocabulary.genes, name="gene")),
    )
    _write(cells, open_blobs(output))
    return f"{location(output)}/{CELLS}"


def read_cells(blobs: Blobs) -> AnnData:
    """Read what `export_cells` wrote.

    Raises
    ------
    ResultsError
        If there is none.
    """
    keys = [key for key, _ in blobs.list(CELLS)]
    if not keys:
        raise ResultsError(f"{blobs.url}: no {CELLS} here; run the campaign again, and it is made from the store")
    with tempfile.TemporaryDirectory() as folder:
        for key in keys:
            path = Path(folder) / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(blobs.get(key))
        found: AnnData = anndata.io.read_elem(zarr.open_group(Path(folder) / CELLS, mode="r"))
    return found


def _write(cells: AnnData, blobs: Blobs) -> None:
    """Write a zarr store beside and put its files in place, through the client that holds the credentials anyway."""
    stale = {key for key, _ in blobs.list(CELLS)}
    with tempfile.TemporaryDirectory() as folder:
        with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=True):
            # Not AnnData.write_zarr: it consolidates metadata, which is no part of the format's specification.
            anndata.io.write_elem(zarr.open_group(folder, mode="w", zarr_format=3), "/", cells)
        for path in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
            key = f"{CELLS}/{path.relative_to(folder).as_posix()}"
            blobs.put(key, path.read_bytes())
            stale.discard(key)
    for key in stale:
        blobs.delete(key)


def _obs(
    planned: PlannedCondition, key: str, member: Mapping[str, str], drawn: DrawnCells, first_shard: int, per_shard: int
) -> pd.DataFrame:
    condition, cells = planned.condition, np.arange(len(drawn.depth))
    shard = first_shard + cells // per_shard
    return pd.DataFrame(
        {
            "cell": [f"{key[:12]}-{s}-{c % per_shard}" for s, c in zip(shard, cells, strict=True)],
            "perturbation": condition.perturbation.label,
            "perturbation_type": condition.perturbation.type,
            **condition.context.as_dict(),
            "shard": shard,
            "depth": drawn.depth,
            **member,
        }
    )
