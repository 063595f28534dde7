"""From the ``features`` block of a training to vectors that describe perturbations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from campaigns.feature_spec import (
    CoExpressionSource,
    FeatureSource,
    GeneSetSource,
    GraphSpec,
    LinkSource,
    PluginSource,
    SmilesSource,
    TableSource,
)
from campaigns.gene_sets import read_gene_sets
from campaigns.nearest import hint
from campaigns.training_spec import TrainSpec
from lingshu_core.cells import Cells
from lingshu_core.co_expression import co_expression_vectors
from lingshu_core.drug_features import smiles_vectors
from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import FeatureFile, NamedVectors, read_edges, read_feature_file, read_rows, read_vectors
from lingshu_core.feature_graph import neighbour_block
from lingshu_core.gene_set_features import gene_set_vectors
from lingshu_core.link_features import link_vectors
from lingshu_core.methods import target_of
from lingshu_core.perturbation_features import FeatureBlock, PerturbationFeatures, combine
from lingshu_core.vocabulary import part_types
from screening.training.plugin_features import plugin_block

SHOWN_NAMES = 5


def build_features(spec: TrainSpec, cells: Cells) -> PerturbationFeatures | None:
    """Read every source of features that a training names and join them.

    A name that two types describe belongs to the type that it has in the cells, else to the type of the source that
    lists it under `names`.

    Parameters
    ----------
    spec
        With or without ``features``.
    cells
        The training cells, without those that are held out.

    Returns
    -------
    PerturbationFeatures or None
        None where the training has no ``features``.

    Raises
    ------
    FeatureError
        If a source can't be read or used, describes one name as two types, or if none of the training perturbations of
        a type is described.
    GeneSetError
        If a gene-set file can't be read.
    PluginError
        If a plugin of features isn't there or doesn't do what it should.
    """
    if spec.features is None:
        return None
    by_type = spec.features.by_type
    trained = training_types(cells)
    claimed = dict(trained)
    for kind, sources in by_type.items():
        for source in sources:
            claimed |= {name: kind for name in source.names or () if name not in trained}
    blocks = []
    for kind, sources in by_type.items():
        others = frozenset(name for name, claim in claimed.items() if claim != kind)
        found = [block.without(others) for source in sources for block in source_blocks(source, kind, cells)]
        _check_described(kind, found, trained)
        blocks += found
    return combine([block for block in blocks if block.names])


def feature_notices(features: PerturbationFeatures, cells: Cells) -> list[str]:
    """Say how many of the training perturbations each source describes, and which have no features at all."""
    trained = training_types(cells)
    row = {name: i for i, name in enumerate(features.types)}
    notices, column, described = [], 0, np.zeros(len(row), dtype=bool)
    for origin in features.origins:
        has = np.any(features.matrix[:, column : column + origin.dimensions] != 0, axis=1)
        described |= has
        mine = [name for name, kind in trained.items() if kind == origin.perturbation_type]
        known = sum(name in row and bool(has[row[name]]) for name in mine)
        title = " ".join(filter(None, (origin.kind, origin.file)))
        notices.append(
            f"{title}: describes {known} of the {len(mine)} {origin.perturbation_type} perturbations of the training, "
            f"and {origin.names - known} others"
        )
        column += origin.dimensions
    types = {origin.perturbation_type for origin in features.origins}
    bare = [n for n, kind in trained.items() if kind in types and not (n in row and described[row[n]])]
    if bare:
        notices.append(f"without features: {_listed(bare)}; they are known by their names only")
    return notices


def training_types(cells: Cells) -> dict[str, str]:
    """Single perturbations of the training → their type, combinations taken apart, genes without their method."""
    labels = cells.obs.loc[~cells.is_control, ["perturbation", "perturbation_type"]].drop_duplicates()
    types = part_types(dict(zip(labels["perturbation"], labels["perturbation_type"].astype(str), strict=True)))
    return dict(sorted({target_of(part): kind for part, kind in types.items()}.items()))


def source_blocks(source: FeatureSource, perturbation_type: str, cells: Cells) -> list[FeatureBlock]:
    """Read one source: its block, and that of its network where it has one; errors as in :func:`build_features`."""
    block = _block(source, perturbation_type, cells)
    blocks = [block] if source.graph is None else [block, _neighbours(block, source.graph)]
    if source.names is None:
        return blocks
    known = {name for each in blocks for name in each.names}
    for name in source.names:
        if name not in known:
            raise FeatureError(
                f"{_title(block)}: `names` lists {name!r}, which it doesn't know; {hint(name, sorted(known))}"
            )
    unwanted = frozenset(known.difference(source.names))
    return [each.without(unwanted) for each in blocks]


def _block(source: FeatureSource, perturbation_type: str, cells: Cells) -> FeatureBlock:
    if isinstance(source, CoExpressionSource):
        vectors = co_expression_vectors(cells, source.dimensions)
        return FeatureBlock(
            *(vectors.names, vectors.values, source.kind, perturbation_type),
            dimensions=source.dimensions,
            licence="that of the training data",
        )
    if isinstance(source, PluginSource):
        return plugin_block(source, perturbation_type)
    if not isinstance(source, (TableSource, GeneSetSource, LinkSource, SmilesSource)):
        raise TypeError(f"no reader for {type(source).__name__}")
    file = read_feature_file(source.file)
    vectors = _vectors(source, file)
    return FeatureBlock(
        names=vectors.names,
        values=vectors.values,
        kind=source.kind,
        perturbation_type=perturbation_type,
        file=source.file,
        sha256=file.sha256,
        licence=source.licence,
        dimensions=source.bits if isinstance(source, SmilesSource) else source.dimensions,
    )


def _vectors(source: TableSource | GeneSetSource | LinkSource | SmilesSource, file: FeatureFile) -> NamedVectors:
    if isinstance(source, TableSource):
        return read_vectors(file, source.name)
    if isinstance(source, SmilesSource):
        return smiles_vectors(read_rows(file, {"name": source.name, "smiles": source.smiles}), file.path, source.bits)
    try:
        if isinstance(source, GeneSetSource):
            sets = {name: found.genes for name, found in read_gene_sets(source.file).items()}
            return gene_set_vectors(sets, source.dimensions, (source.smallest, source.largest))
        columns = {"source": source.source, "target": source.target}
        signed = columns if source.sign is None else columns | {"weight": source.sign}
        return link_vectors(read_edges(file, signed), source.dimensions)
    except FeatureError as error:
        text = str(error)
        raise error if text.startswith(file.path) else FeatureError(f"{file.path}: {text}") from error


def _neighbours(block: FeatureBlock, graph: GraphSpec) -> FeatureBlock:
    file = read_feature_file(graph.file)
    columns = {"source": graph.source, "target": graph.target}
    return neighbour_block(
        block,
        read_edges(file, columns if graph.weight is None else columns | {"weight": graph.weight}),
        graph.hops,
        file=graph.file,
        sha256=file.sha256,
        licence=graph.licence,
        dimensions=graph.dimensions,
    )


def _check_described(kind: str, blocks: Iterable[FeatureBlock], trained: dict[str, str]) -> None:
    mine = [name for name, its in trained.items() if its == kind]
    if not mine:
        raise FeatureError(
            f"features.{kind}: no perturbation of the training is of the type {kind!r}, so nothing can be learnt from "
            "these features; leave them out, or name data.columns.perturbation_type"
        )
    known = {name for block in blocks for name in block.names}
    if not known.intersection(mine):
        raise FeatureError(
            f"features.{kind}: none of the {len(mine)} {kind} perturbations of the training is described, such as "
            f"{mine[0]!r} ({hint(mine[0], sorted(known))}); use the same names in the features and in the data"
        )


def _title(block: FeatureBlock) -> str:
    return block.file or block.kind


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown} and {len(names) - SHOWN_NAMES} more"
