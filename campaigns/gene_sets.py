"""Named gene sets in GMT files: a line holds name, description and genes, separated by tabs."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from campaigns.errors import GeneSetError, Where
from campaigns.listing import unreadable
from campaigns.nearest import hint

MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class GeneSet:
    """A named set of genes.

    Parameters
    ----------
    name : str
    genes : tuple of str
        Each once, in the order of the file.
    where : Where
        The line of the file that it comes from.
    """

    name: str
    genes: tuple[str, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class PanelGenes:
    """The genes of a set that a model has.

    Parameters
    ----------
    genes : tuple of str
        At least one, in the order of the set.
    n_in_set : int
        How many genes the set has in all.
    """

    genes: tuple[str, ...]
    n_in_set: int


def read_gene_sets(path: str | os.PathLike[str]) -> dict[str, GeneSet]:
    """Read all sets of a GMT file, plain or compressed with gzip.

    Parameters
    ----------
    path : path-like
        A local file; one whose content is gzip is decompressed, whatever its name.

    Returns
    -------
    dict
        Name → set.

    Raises
    ------
    GeneSetError
        The file can't be read, a line isn't GMT, or a name appears twice.
    """
    file = os.fspath(path)
    sets: dict[str, GeneSet] = {}
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        where = Where(file, number)
        name, *rest = (cell.strip() for cell in line.split("\t"))
        genes = tuple(dict.fromkeys(gene for gene in rest[1:] if gene))
        if not name or not genes:
            raise GeneSetError([where.problem("isn't a GMT line: name, description and genes, separated by tabs")])
        if name in sets:
            text = f"gene set {name!r} appears twice, first on line {sets[name].where.line}"
            raise GeneSetError([where.problem(text)])
        sets[name] = GeneSet(name, genes, where)
    return sets


def find_gene_set(sets: Mapping[str, GeneSet], name: str, file: str) -> GeneSet:
    """Find a set by its name.

    Raises
    ------
    GeneSetError
        There is none of this name; the nearest are named.
    """
    if name not in sets:
        raise GeneSetError([Where(file).problem(f"unknown gene set {name!r} in {file}; {hint(name, sets)}")])
    return sets[name]


def restrict_to_panel(gene_set: GeneSet, panel: Iterable[str]) -> PanelGenes:
    """Keep the genes of a set that a model has.

    Parameters
    ----------
    gene_set : GeneSet
    panel : iterable of str
        The model's genes.

    Returns
    -------
    PanelGenes

    Raises
    ------
    GeneSetError
        None is left.
    """
    known = frozenset(panel)
    genes = tuple(gene for gene in gene_set.genes if gene in known)
    if not genes:
        text = f"none of the {len(gene_set.genes)} genes of {gene_set.name!r} is among the model's {len(known)}"
        raise GeneSetError([gene_set.where.problem(f"{text}; {_spelling(gene_set, known)}")])
    return PanelGenes(genes, len(gene_set.genes))


def _spelling(gene_set: GeneSet, panel: frozenset[str]) -> str:
    cased = {gene.casefold() for gene in gene_set.genes} & {gene.casefold() for gene in panel}
    if cased:
        return f"{len(cased)} would be if upper and lower case were the same: is the set for another species?"
    return f"the set has {gene_set.genes[0]!r}, the model {min(panel, default='no gene')!r}: use the same kind of names"


def _text(file: str) -> str:
    try:
        with Path(file).open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            opened = gzip.GzipFile(fileobj=stream) if packed else stream
            content = opened.read(MAX_BYTES + 1)
    except (EOFError, zlib.error) as error:
        raise GeneSetError([Where(file).problem(f"is damaged gzip: {error}; fetch it again")]) from error
    except (OSError, ValueError) as error:
        raise GeneSetError([Where(file).problem(unreadable(file, error))]) from error
    if len(content) > MAX_BYTES:
        raise GeneSetError([Where(file).problem(f"is larger than {MAX_BYTES:,} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GeneSetError([Where(file).problem("isn't UTF-8 text; give a .gmt or .gmt.gz file")]) from error
