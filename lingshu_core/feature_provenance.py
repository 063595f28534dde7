"""What a table of features says that it was made from.

Whoever makes vectors of perturbations from cells can write that into the file, and a leak is then found for certain:
an ``.npz`` has the arrays ``fitted_on`` (names of the cells) and ``data_digest`` (``Cells.digest`` of all of them)
beside ``names`` and ``features``, either of them; a ``.parquet`` has the same two keys in its schema's metadata,
``fitted_on`` as a JSON list.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import FeatureFile


@dataclass(frozen=True)
class FeatureProvenance:
    """Names of the cells that features were made from, and the digest of the data; empty where the file doesn't say."""

    cells: tuple[str, ...] = ()
    data_digest: str = ""


def feature_provenance(file: FeatureFile) -> FeatureProvenance:
    """Read what a table of features was made from.

    Raises
    ------
    FeatureError
        If what it says can't be read.
    """
    try:
        return _of_npz(file) if file.content[:2] == b"PK" else _of_parquet(file)
    except (ValueError, TypeError, OSError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise FeatureError(
            f"{file.path}: `fitted_on` has to be a list of the names of cells, `data_digest` a text ({error})"
        ) from error


def _of_npz(file: FeatureFile) -> FeatureProvenance:
    with np.load(io.BytesIO(file.content), allow_pickle=False) as archive:
        cells = archive["fitted_on"].ravel() if "fitted_on" in archive.files else []
        digest = archive["data_digest"].item() if "data_digest" in archive.files else ""
    return FeatureProvenance(tuple(map(str, cells)), str(digest))


def _of_parquet(file: FeatureFile) -> FeatureProvenance:
    metadata = pq.read_schema(io.BytesIO(file.content)).metadata or {}
    cells = json.loads(metadata.get(b"fitted_on", b"[]"))
    return FeatureProvenance(tuple(map(str, cells)), metadata.get(b"data_digest", b"").decode())
