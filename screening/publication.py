"""Results of a run, written where the campaign says.

::

    output/
    ├── hits.parquet, hits.csv     the ranked table
    ├── effects.h5ad               conditions × genes, layers in two units with standard errors
    ├── cells.zarr/                drawn cells, only with estimator.store_cells
    ├── campaign.yaml, plan.json   as resolved
    ├── manifest.json              run id, digests, counts, versions; written last
    ├── runs/<run id>/             the record of each run that used this folder
    └── ledger/                    commits and data of the blocks: what all of the above is folded from
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anndata
import polars as pl

from actors.blobs import Blobs, absolute_url, open_blobs
from actors.errors import BlobNotFound
from screening.errors import ResultsError
from screening.hits import COLUMNS

HITS, HITS_CSV, EFFECTS = "hits.parquet", "hits.csv", "effects.h5ad"
CAMPAIGN, PLAN, MANIFEST = "campaign.yaml", "plan.json", "manifest.json"
_LIBRARIES = ("lingshu-screen", "ray", "torch", "numpy", "polars", "anndata")


def ledger_url(output: str) -> str:
    """Return the URL of the ledger in a results folder, usable from every node."""
    return f"{absolute_url(output).rstrip('/')}/ledger"


def local_path(url: str) -> Path | None:
    """Return the absolute path that a local path or ``file://`` URL names; None for a bucket."""
    parts = urlsplit(absolute_url(url))
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def location(url: str) -> str:
    """Write a path or URL so that fsspec and zarr find it from everywhere; they don't decode ``%20``."""
    path = local_path(url)
    return absolute_url(url) if path is None else str(path)


@dataclass(frozen=True)
class Publication:
    """What is published of a run."""

    run_id: str
    hits: pl.DataFrame
    effects: anndata.AnnData | None
    campaign: str
    plan: Mapping[str, Any]
    facts: Mapping[str, Any]


def publish(blobs: Blobs, publication: Publication) -> dict[str, Any]:
    """Write results; the manifest comes last and lists the digest of everything else.

    Returns
    -------
    The manifest.
    """
    content = {
        HITS: hits_to_parquet(publication.hits),
        HITS_CSV: publication.hits.write_csv().encode(),
        CAMPAIGN: publication.campaign.encode(),
        PLAN: json.dumps(publication.plan, indent=1).encode(),
    }
    if publication.effects is not None:
        content[EFFECTS] = anndata_to_bytes(publication.effects)
    manifest = {
        "format": 1,
        "run_id": publication.run_id,
        **publication.facts,
        "versions": {name: version(name).split("+")[0] for name in _LIBRARIES},
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in content.items()
        },
    }
    if EFFECTS not in content:
        blobs.delete(EFFECTS)  # of an earlier run in this folder
    record = f"runs/{publication.run_id[:16]}"
    for name, data in content.items():
        blobs.put(name, data)
        if name != EFFECTS:  # can be folded anew from the ledger; the small files are kept for every run
            blobs.put(f"{record}/{name}", data)
    for name in (f"{record}/{MANIFEST}", MANIFEST):
        blobs.put(name, json.dumps(manifest, indent=1).encode())
    return manifest


def hits_to_parquet(hits: pl.DataFrame) -> bytes:
    """Write the table with the meaning of every column in the file's own metadata."""
    buffer = io.BytesIO()
    meanings = {name: text for name, (_, text) in COLUMNS.items() if name in hits.columns}
    hits.write_parquet(buffer, metadata={"lingshu.columns": json.dumps(meanings)})
    return buffer.getvalue()


def anndata_to_bytes(table: anndata.AnnData) -> bytes:
    """Write an ``.h5ad`` into memory; HDF5 needs a real file in between."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / EFFECTS
        table.write_h5ad(path, compression="gzip")
        return path.read_bytes()


def open_results(url: str) -> Blobs:
    """Open a results folder for reading; a local one that isn't there is not made.

    Raises
    ------
    ResultsError
        If there is no such folder.
    """
    path = local_path(url)
    if path is not None and not path.is_dir():
        raise ResultsError(f"{url}: no such folder; give the `output:` of a campaign that ran")
    return open_blobs(url)


def read_hits(blobs: Blobs) -> pl.DataFrame:
    """Read the ranked table of a results folder.

    Raises
    ------
    ResultsError
        If there is none.
    """
    try:
        return pl.read_parquet(io.BytesIO(blobs.get(HITS)))
    except BlobNotFound as error:
        raise ResultsError(
            f"{blobs.url}: no {HITS} here; run the campaign, or give the `output:` of a campaign that ran"
        ) from error
    except pl.exceptions.ComputeError as error:
        raise ResultsError(f"{blobs.url}/{HITS}: not a readable Parquet file ({error}); publish again") from error


def filter_hits(hits: pl.DataFrame, contexts: Sequence[str], top: int | None) -> pl.DataFrame:
    """Keep the rows of any of some contexts (a factor's value, or the whole label) and the best ``top`` of them.

    Raises
    ------
    ResultsError
        If a context does not occur.
    """
    columns = [c for c in hits.columns if c == "context" or (c not in COLUMNS and hits[c].dtype == pl.String)]
    for wanted in contexts:
        if hits.filter(pl.any_horizontal(pl.col(columns) == wanted)).is_empty():
            known = ", ".join(hits["context"].unique().sort().to_list()[:12])
            raise ResultsError(f"no context {wanted!r} in these results; there are: {known}")
    if contexts:
        hits = hits.filter(pl.any_horizontal(pl.col(columns).is_in(list(contexts))))
    return hits if top is None else hits.head(top)
