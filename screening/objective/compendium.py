"""Reference profiles that a query is compared with, such as published signatures: a table of profiles × genes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lingshu_core.connectivity import weighted_connectivity
from lingshu_core.feature_files import read_feature_file
from screening.errors import ObjectiveError

Array = npt.NDArray[np.float64]

FEWEST_PROFILES = 20
"""τ is a percentile; of fewer profiles it would have steps of more than 5."""


def compendium_scores(path: str, genes: Sequence[str], weights: Array) -> Array:
    """Return the weighted connectivity of a query with each profile of a compendium, (profiles,).

    Parameters
    ----------
    path
        A ``.parquet``: a row a profile, a column of numbers for each gene, effects in any one unit; columns of text are
        names. Genes that the model doesn't have are left out.
    genes
        The model's genes.
    weights
        1 for genes that the query raises, −1 for those that it lowers, else 0, (genes,).

    Raises
    ------
    FeatureError
        If the file can't be read.
    ObjectiveError
        If it is no such table, or lacks genes of the query.
    """
    table = _read(path)
    is_number = {one.name: pa.types.is_integer(one.type) or pa.types.is_floating(one.type) for one in table.schema}
    shared = [place for place, gene in enumerate(genes) if is_number.get(gene)]
    lacking = [genes[place] for place in map(int, np.flatnonzero(weights)) if not is_number.get(genes[place])]
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise ObjectiveError(
            f"{path}: the compendium has no column of numbers for {', '.join(lacking[:5])}{more} of the query; leave"
            " them out of `up` and `down`, or give another `objective.compendium`"
        )
    if table.num_rows < FEWEST_PROFILES:
        raise ObjectiveError(f"{path}: the compendium has {table.num_rows} profiles; {FEWEST_PROFILES} are needed")
    query = weights[shared]
    if 2 * np.count_nonzero(query) > len(query):
        raise ObjectiveError(
            f"{path}: the compendium shares {len(query)} genes with the model, and {np.count_nonzero(query)} of them"
            " are the query; it is looked for among the others, so it can have half of them at most"
        )
    profiles = np.column_stack([table[genes[place]].to_numpy().astype(float) for place in shared])
    if not np.isfinite(profiles).all():
        raise ObjectiveError(f"{path}: the compendium has NaN or infinite values; drop or fill them")
    return weighted_connectivity(profiles, np.flatnonzero(query > 0), np.flatnonzero(query < 0))


def _read(path: str) -> Any:
    try:
        return pq.read_table(io.BytesIO(read_feature_file(path).content))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ObjectiveError(f"{path}: the compendium is no readable .parquet ({reason})") from error
