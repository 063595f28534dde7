"""Cells that lie in several files: which files, and which genes they have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import PurePath
from typing import Literal

import fsspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from lingshu_core.cells import Cells, CellSource, check_experiment, check_genes, read_cells, readable
from lingshu_core.count_rows import CountRows
from lingshu_core.errors import UnreadableCells, UnusableCells
from lingshu_core.methods import told_apart

GeneRule = Literal["same", "intersection"]


def find_files(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the files that paths and patterns (``*``, ``?``, ``[…]``) name; those of a pattern in sorted order.

    Raises
    ------
    UnreadableCells
        If a pattern fits nothing, or two of them give the same file.
    """
    found: list[str] = []
    for path in paths:
        matched = _matching(path)
        if not matched:
            raise UnreadableCells(
                f"{path}: no file fits this pattern; check the path (and LINGSHU_DATA, if it is used)"
            )
        there = {_place(name) for name in found}
        twice = [name for name in matched if _place(name) in there]
        if twice:
            raise UnreadableCells(f"{twice[0]}: the file is named twice in data.path; name it once")
        found += matched
    return tuple(found)


def _place(name: str) -> str:
    """Write the path of a file in one way: a pattern gives absolute paths."""
    return name if "://" in name else os.path.realpath(name)


def _matching(path: str) -> list[str]:
    with readable(path):
        filesystem, root = fsspec.core.url_to_fs(path)
    if not set(path) & set("*?[") or filesystem.exists(root):
        return [path]
    matched = sorted(map(str, filesystem.glob(root)))
    return matched if "://" not in path else [str(filesystem.unstrip_protocol(name)) for name in matched]


def with_common_genes(sources: Sequence[CellSource], rule: GeneRule) -> tuple[CellSource, ...]:
    """Let every source keep the genes that the rule leaves, in the order of the first file.

    Parameters
    ----------
    sources
        One per file.
    rule
        ``same``: all files have the same genes in the same order. ``intersection``: keep those that all have.

    Raises
    ------
    UnusableCells
        If the genes differ under ``same``, or no gene is in all files.
    """
    if len(sources) == 1:
        return tuple(sources)
    names = {}
    for source in sources:
        with CountRows(source) as file:
            names[source.path] = file.gene_names()
    for source in sources:
        check_genes(names[source.path], source)
    first = names[sources[0].path]
    if rule == "same":
        for path, genes in names.items():
            if not first.equals(genes):
                raise UnusableCells(_difference(sources[0].path, first, path, genes))
        return tuple(sources)
    common = reduce(lambda kept, genes: kept[kept.isin(genes)], names.values(), first)
    if not len(common):
        raise UnusableCells(f"no gene is in all of {', '.join(names)}; are the names of one kind and species?")
    return tuple(replace(source, genes=tuple(map(str, common))) for source in sources)


def _difference(one: str, first: pd.Index, other: str, genes: pd.Index) -> str:
    cure = "set data.genes: intersection to keep the genes that all files have, in the order of the first"
    missing, added = first.difference(genes), genes.difference(first)
    if not len(missing) and not len(added):
        place = int(np.flatnonzero(first != genes)[0])
        return f"{other}: the genes are those of {one} in another order (gene {place + 1} is {genes[place]}); {cure}"
    told = [
        f"{len(part):,} {word} ({', '.join(map(str, part[:3]))})"
        for part, word in ((missing, "missing"), (added, "added"))
        if len(part)
    ]
    return f"{other}: the genes are not those of {one}: {' and '.join(told)}; {cure}"


def read_all(sources: Sequence[CellSource], rule: GeneRule = "same", *, experiment: bool = True) -> Cells:
    """Read and check all files into memory, one after the other; errors as in :func:`read_cells`.

    Every file is checked by itself. That there are controls, perturbed cells, one type for a label and no factor that
    gives the perturbation away is asked of all of them together: a file may hold one arm of an experiment.
    """
    if len(sources) == 1:
        return read_cells(sources[0], experiment=experiment)
    parts = [read_cells(source, experiment=False) for source in with_common_genes(sources, rule)]
    cells = joined(parts, sp.vstack([part.counts for part in parts], format="csr"))
    if experiment:
        check_experiment(cells, sources[0])
    return cells


def joined(parts: Sequence[Cells], counts: object) -> Cells:
    """Return the cells of several files as one; ``counts`` are those of all of them, in order."""
    merged: Mapping[str, str] = {key: value for part in reversed(parts) for key, value in part.uns.items()}
    obs = pd.concat([part.obs for part in parts], ignore_index=True)
    if "method" in obs:
        # A target may have one method in each file and several in all of them.
        obs["perturbation"] = told_apart(obs["perturbation"], obs["method"])
    return replace(
        parts[0],
        counts=counts,
        obs=obs,
        depth=np.concatenate([part.depth for part in parts]),
        source=", ".join(part.source for part in parts),
        uns=merged,
        names=_names_of(parts),
    )


def _names_of(parts: Sequence[Cells]) -> npt.NDArray[np.str_]:
    """Join the names of cells; where files repeat them, such as barcodes of several lanes, each follows its file's."""
    names = np.concatenate([part.names for part in parts])
    if any(len(part.names) != len(part) for part in parts):
        return np.empty(0, dtype=np.str_)
    if len(names) == len(np.unique(names)):
        return names
    return np.concatenate([np.char.add(f"{PurePath(part.source).stem}/", part.names) for part in parts])
