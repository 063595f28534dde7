"""Results of a run, written where the campaign says.

::

    output/
    ├── hits.parquet, hits.csv     the ranked table
    ├── null.parquet               pseudo-perturbations, only of a model that has some
    ├── doses.parquet, …           what else applies (`screening.answers.analyses`)
    ├── connectivity.parquet       connectivity and its percentile τ, only of an objective of that kind
    ├── evidence.parquet, evidence_items.parquet  what speaks for the best conditions (`following_up.evidence`)
    ├── safety.parquet             side effects, only of a screen with `safety:`
    ├── effects.h5ad               conditions × genes, layers in two units with standard errors
    ├── effects.zarr/              effects of every condition, only with publish.effects: all
    ├── cells.zarr/                drawn cells, only with estimator.store_cells
    ├── campaign.yaml, plan.json   as resolved
    ├── manifest.json              run id, digests, counts, versions
    ├── runs/<run id>/<version>/   the same files of every version; those above are copies of the one that stands
    └── ledger/
        ├── HEAD, manifests/       which version stands, and what each was made of
        └── commits/, data/        the blocks: what all of this is folded from; in the campaign's cache if it has one
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anndata
import polars as pl

from actors.blobs import Blobs, absolute_url, open_blobs
from actors.epoch import Epoch
from actors.errors import BlobNotFound, CorruptBlob
from actors.history import History
from actors.manifest import Manifest
from screening.deciding.hits import COLUMNS, foreign
from screening.errors import ResultsError
from screening.objective.population_readout import COLUMNS as POPULATION_COLUMNS

HITS, HITS_CSV, EFFECTS = "hits.parquet", "hits.csv", "effects.h5ad"
NULL = "null.parquet"
CONNECTIVITY = "connectivity.parquet"
LEDGER = "ledger"
CAMPAIGN_COLUMNS: Mapping[str, str] = {
    "campaign": "name of the campaign",
    "results": "where its results are: a file:// or s3:// URL",
}
"""What stands before the columns of the hit table where several campaigns are together (`screening.tables`)."""
MOST_HITS = 50_000_000
"""Rows of a table of hits that is read; a screen has one for each condition."""
CAMPAIGN, PLAN, MANIFEST = "campaign.yaml", "plan.json", "manifest.json"
_LIBRARIES = ("lingshu-screen", "ray", "torch", "numpy", "polars", "anndata")


def ledger_url(output: str, cache: str | None = None) -> str:
    """Return the URL of the ledger, usable from every node: the cache, or a folder in the results."""
    return f"{absolute_url(output).rstrip('/')}/{LEDGER}" if cache is None else absolute_url(cache)


def local_path(url: str) -> Path | None:
    """Return the absolute path that a local path or ``file://`` URL names; None for a bucket."""
    parts = urlsplit(absolute_url(url))
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def location(url: str) -> str:
    """Write a path or URL so that fsspec and zarr find it from everywhere; they don't decode ``%20``."""
    path = local_path(url)
    return absolute_url(url) if path is None else str(path)


@dataclass(frozen=True)
class Table:
    """A table of the results, and what each of its columns means (in words that also say the unit)."""

    rows: pl.DataFrame
    meanings: Mapping[str, str]

    def to_parquet(self) -> bytes:
        """Write it with the meaning of every column in the file's own metadata."""
        buffer = io.BytesIO()
        self.rows.write_parquet(buffer, metadata={"lingshu.columns": json.dumps(dict(self.meanings))})
        return buffer.getvalue()


@dataclass(frozen=True)
class Publication:
    """What is published of a run."""

    run_id: str
    hits: pl.DataFrame
    effects: anndata.AnnData | None
    campaign: str
    plan: bytes
    facts: Mapping[str, Any]
    commits: Mapping[str, str] = field(default_factory=dict)
    """Blocks that it was folded from, with the SHA-256 of their bytes."""
    ledger: str = LEDGER
    """Where these are committed: in the results, or the URL of a cache."""
    tables: Mapping[str, Table] = field(default_factory=dict)
    """Further tables by file name (`screening.answers.analyses`)."""


def publish(epoch: Epoch, publication: Publication) -> dict[str, Any]:
    """Make the results the version that stands; ``manifest.json`` lists the digest of everything else.

    Returns
    -------
    The content of ``manifest.json``.

    Raises
    ------
    Fenced
        If another run has begun in this place since; nothing is published then.
    """
    content = {
        HITS: hits_to_parquet(publication.hits),
        HITS_CSV: publication.hits.write_csv().encode(),
        CAMPAIGN: publication.campaign.encode(),
        PLAN: publication.plan,
    }
    content |= {name: table.to_parquet() for name, table in publication.tables.items()}
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
    epoch.publish(
        publication.run_id,
        {**content, MANIFEST: json.dumps(manifest, indent=1).encode()},
        publication.commits,
        ledger=publication.ledger,
        facts={"name": publication.facts.get("campaign", "")},
    )
    return manifest


def hits_to_parquet(hits: pl.DataFrame) -> bytes:
    """Write the table with the meaning of every column in the file's own metadata."""
    meanings = {name: text for name, (_, text) in COLUMNS.items()} | POPULATION_COLUMNS
    meanings = {**CAMPAIGN_COLUMNS, **meanings}
    return Table(hits, {name: text for name, text in meanings.items() if name in hits.columns}).to_parquet()


def anndata_to_bytes(table: anndata.AnnData) -> bytes:
    """Write an ``.h5ad`` into memory; HDF5 needs a real file in between.

    It isn't compressed: gzip takes 7 % off such numbers, and half a minute for the largest table there is.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / EFFECTS
        table.write_h5ad(path)
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


def read_published(blobs: Blobs, name: str) -> bytes:
    """Read a file of the version that stands; the plain one where there are no versions, as in a copy of a few files.

    Raises
    ------
    BlobNotFound
        There is no such file.
    CorruptBlob
        It is not what was published.
    """
    history = History(blobs, patience_seconds=0)
    manifest = history.published()
    if manifest is None or name not in manifest.files:
        return blobs.get(name)
    try:
        return history.read(manifest.files[name])
    except CorruptBlob:
        newer = history.published()  # the version was perhaps superseded and collected while we looked
        if newer is None or newer == manifest or name not in newer.files:
            raise
        return history.read(newer.files[name])


def read_hits(blobs: Blobs) -> pl.DataFrame:
    """Read the ranked table of a results folder.

    Raises
    ------
    ResultsError
        If there is none, or what is there is another table or none at all.
    """
    return read_hits_with_digest(blobs)[0]


def read_hits_with_digest(blobs: Blobs) -> tuple[pl.DataFrame, str]:
    """Read the ranked table and the SHA-256 of its file; errors as in `read_hits`."""
    where = f"{blobs.url}/{HITS}"
    try:
        data = read_published(blobs, HITS)
        table = _parse_hits(data, where)
    except BlobNotFound as error:
        raise ResultsError(
            f"{blobs.url}: no {HITS} here; run the campaign, or give the `output:` of a campaign that ran"
        ) from error
    if reason := foreign(table):
        raise ResultsError(
            f"{where}: not a ranked table of a screen: {reason}; give the `output:` of a campaign that ran"
        )
    return table, hashlib.sha256(data).hexdigest()


def hits_of(history: History, manifest: Manifest) -> pl.DataFrame:
    """Read the ranked table of one version.

    Raises
    ------
    CorruptBlob
        It is not what was published.
    ResultsError
        It can't be read, or the version has none.
    """
    if HITS not in manifest.files:
        raise ResultsError(f"{history.blobs.url}: its version {manifest.number} has no {HITS}; run the campaign again")
    return _parse_hits(history.read(manifest.files[HITS]), f"{history.blobs.url}/{manifest.files[HITS].key}")


def _parse_hits(data: bytes, where: str) -> pl.DataFrame:
    """Read Parquet with Arrow: what is damaged in the wrong place ends polars' reader together with the process."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        rows = file.metadata.num_rows
        if rows > MOST_HITS:  # a small file can hold any number of equal rows
            raise ResultsError(f"{where}: has {rows:,} rows, and at most {MOST_HITS:,} are read; give another folder")
        table = file.read()
        table.validate(full=True)
        # Made anew from names and columns: polars takes other metadata of a file on trust.
        plain = pa.table(list(table.columns), names=list(table.schema.names))
        return pl.DataFrame(pl.from_arrow(plain))
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ResultsError(f"{where}: not a readable Parquet file ({reason}); publish again") from error


def read_table(blobs: Blobs, name: str, columns: Iterable[str]) -> pl.DataFrame:
    """Read a further table of a results folder.

    Raises
    ------
    ResultsError
        If there is none, or what is there is another table or none at all.
    """
    where = f"{blobs.url}/{name}"
    try:
        table = _parse_hits(read_published(blobs, name), where)
    except BlobNotFound as error:
        raise ResultsError(f"{blobs.url}: no {name} here; run the campaign again, and it is made") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ResultsError(
            f"{where}: has no column {', '.join(missing[:3])}; run the campaign again, and it is made anew"
        )
    return table


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
