"""From the ``split`` block of an evaluation to a split of cells: files that say what is alike are read here."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pandas as pd

from campaigns.gene_sets import read_gene_sets
from campaigns.split_spec import (
    DrugSplit,
    GeneFamilySplit,
    GeneSetFamilies,
    ParalogueFamilies,
    SplitRules,
    SplitSpec,
    StemFamilies,
    TableFamilies,
)
from lingshu_core import split_builder
from lingshu_core.cells import Cells
from lingshu_core.errors import SplitError
from lingshu_core.feature_files import read_feature_file, read_rows
from lingshu_core.relations import Relations
from lingshu_core.split_builder import build_split
from lingshu_core.split_table import CellTable
from lingshu_core.splits import Split, counts_digest

_OF_FILES = ("file", "name", "smiles", "families")


def make_split(spec: SplitSpec, cells: Cells, name: str | None = None) -> Split:
    """Build the split that an evaluation describes.

    Parameters
    ----------
    spec
        The ``split`` block.
    cells
        The data set.
    name
        Of the split; by default its kind.

    Raises
    ------
    SplitError
        If the cells can't carry it, or a file doesn't say what is needed.
    FeatureError, GeneSetError
        If a file can't be read.
    """
    rules = {key: getattr(spec, key) for key in SplitRules.model_fields}
    given = spec.model_dump(exclude={"kind", *rules})
    return build_split(
        CellTable.of(cells),
        spec.kind,
        split_builder.SplitRules(**rules),
        {key: value for key, value in given.items() if key not in _OF_FILES},
        relations_of(spec),
        name=name or spec.kind,
        counts=counts_digest(cells),
        recorded=_without_folders({key: value for key, value in given.items() if key in _OF_FILES}),
    )


def relations_of(spec: SplitSpec) -> Relations | None:
    """Read what counts as related; None for splits that don't ask. Errors as in :func:`make_split`."""
    if isinstance(spec, DrugSplit):
        rows = read_rows(read_feature_file(spec.file), {"name": spec.name, "smiles": spec.smiles})
        structures = dict(_pairs(rows, "name", "smiles", spec.file))
        return Relations(structures={name: smiles for name, smiles in structures.items() if smiles}, file=spec.file)
    if isinstance(spec, GeneFamilySplit):
        return _families(spec)
    return None


def _families(spec: GeneFamilySplit) -> Relations:
    families = spec.families
    if isinstance(families, StemFamilies):
        return Relations()
    if isinstance(families, GeneSetFamilies):
        sets = read_gene_sets(families.file)
        return Relations(groups=tuple(found.genes for found in sets.values()), file=families.file)
    file = read_feature_file(families.file)
    if isinstance(families, TableFamilies):
        rows = read_rows(file, {"gene": families.gene, "family": families.family})
        return Relations(families=dict(_pairs(rows, "gene", "family", file.path)), file=file.path)
    return Relations(groups=_paralogues(families), file=file.path)


def _pairs(rows: pd.DataFrame, key: str, value: str, file: str) -> list[tuple[str, str]]:
    """Return the rows of a table whose keys have one value each."""
    named = rows[rows[key] != ""].drop_duplicates()
    twice = named[key][named[key].duplicated()]
    if len(twice):
        raise SplitError(f"{file}:{twice.index[0]}: {twice.iloc[0]!r} has a second {value}; keep one row of each {key}")
    return list(zip(named[key], named[value], strict=True))


def _paralogues(spec: ParalogueFamilies) -> tuple[tuple[str, str], ...]:
    """Return the pairs that are alike enough."""
    columns = {"gene": spec.gene, "paralogue": spec.paralogue}
    rows = read_rows(read_feature_file(spec.file), columns | ({"identity": spec.identity} if spec.identity else {}))
    rows = rows[(rows["gene"] != "") & (rows["paralogue"] != "")]
    if spec.identity is not None:
        identity = pd.to_numeric(rows["identity"], errors="coerce")
        wrong = rows.index[identity.isna()]
        if len(wrong):
            raise SplitError(
                f"{spec.file}:{wrong[0]}: {rows['identity'][wrong[0]]!r} in column {spec.identity!r} is no percentage"
            )
        rows = rows[identity >= spec.threshold]
    return tuple(zip(rows["gene"], rows["paralogue"], strict=True))


def _without_folders(value: Any) -> Any:
    """Keep names of files, not where they lie: a split is the same on another machine."""
    if isinstance(value, dict):
        return {key: PurePath(part).name if key == "file" else _without_folders(part) for key, part in value.items()}
    return value
