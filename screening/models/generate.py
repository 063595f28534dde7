"""``lingshu generate``: from a request to an ``.h5ad`` of drawn cells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData

from campaigns.conditions import Condition as NamedCondition
from campaigns.generation_condition import resolve_condition
from campaigns.generation_spec import DEPTH, GenerateSpec, OrthologSpec, StartSpec
from campaigns.nearest import hint
from campaigns.source import load_generation
from campaigns.validation import validate
from campaigns.vocabulary import Vocabulary as PlainVocabulary
from campaigns.yaml_source import NO_SOURCE, Source
from lingshu_core.cell_file import CellFile, open_cells
from lingshu_core.checkpoint import Checkpoint, load_checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.errors import ConditionError, UnusableCells
from lingshu_core.estimator import SAMPLER_VERSION
from lingshu_core.gene_panel import Orthologs, PanelMatch, match_panel, read_orthologs
from lingshu_core.generation import (
    StartCells,
    agreeing_contexts,
    draw_contexts,
    draw_depths,
    generate_cells,
    generation_root,
)
from lingshu_core.reveal import RevealSettings
from lingshu_core.structures import with_structures
from lingshu_core.training import pick_device
from lingshu_core.vocabulary import Vocabulary
from screening.models.cell_output import replaced

DEFAULT_CELLS = 1000
UNSPECIFIED = "unspecified"
UNS = "lingshu"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GenerationResult:
    """What came of a request."""

    output: str
    cells: int
    genes: int
    condition: str
    model_digest: str
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """Cells of a request in memory: raw counts, cells × genes."""

    cells: AnnData
    condition: str
    model_digest: str
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Start:
    """The real cells of a request, one row for each cell to draw."""

    cells: StartCells
    names: tuple[str, ...]
    factors: tuple[Mapping[str, str], ...]
    depth: npt.NDArray[np.float64]
    match: PanelMatch


def read_request(
    file: str | os.PathLike[str] | None, options: Mapping[tuple[str, ...], Any]
) -> tuple[GenerateSpec, Source]:
    """Read a request from a YAML file, from options of the command line, or from both.

    Parameters
    ----------
    file
        A ``kind: generate`` file; None where the options say it all.
    options
        Fields of the file to put in place of its own, by their path: ``{("sampler", "steps"): 12}``.

    Raises
    ------
    CampaignError
        If file and options together are no valid request.
    """
    loaded = load_generation(file) if file is not None else None
    if loaded is not None and not options:
        return loaded.spec, loaded.source
    content: dict[str, Any] = loaded.spec.as_data() if loaded else {"kind": "generate"}
    for path, value in options.items():
        block = content
        for key in path[:-1]:
            block[key] = block.get(key) or {}
            block = block[key]
        block[path[-1]] = value
    source = Source(f"{file} and the command line" if file else "command line", content)
    return validate(GenerateSpec, source), source


def generate(
    spec: GenerateSpec, source: Source = NO_SOURCE, command: str = "", on_progress: Progress | None = None
) -> GenerationResult:
    """Draw the cells of a request and write them.

    Parameters
    ----------
    spec, source
        The request, and its file for messages.
    command
        The command line, kept in the result's ``uns``.
    on_progress
        Called with the cells drawn and the cells in all.

    Raises
    ------
    VocabularyError
        If the model doesn't know a name.
    CheckpointError, DataError, ConfigurationError, ConditionError, FeatureError, ResultsError
        If the model, the structures, the start cells, the settings or the output can't be used.
    """
    with replaced(spec.output) as temporary:
        drawn = draw(spec, source, command, on_progress)
        drawn.cells.write_h5ad(temporary, compression="gzip")
    cells, genes = drawn.cells.shape
    return GenerationResult(spec.output, cells, genes, drawn.condition, drawn.model_digest, drawn.notices)


def draw(
    spec: GenerateSpec, source: Source = NO_SOURCE, command: str = "", on_progress: Progress | None = None
) -> Drawn:
    """Draw the cells of a request into memory; parameters and errors as in `generate`."""
    torch.set_num_threads(spec.compute.threads)
    model = with_structures(load_checkpoint(spec.model, pick_device(spec.compute.device)), spec.structures)
    asked = resolve_condition(spec, PlainVocabulary.from_json(model.vocabulary.to_json()), source)
    orthologs = _orthologs(spec.orthologs)
    start = _read_start(spec, spec.start, model.vocabulary, orthologs) if spec.start is not None else None
    table, notices = _draw(spec, model, asked, start, on_progress)
    if spec.output_genes == "cells" and orthologs is not None:
        table, left = translate_genes(table, orthologs)
        notices += (f"{left:,} genes have no one-to-one ortholog and are left out of the output",) if left else ()
    table.uns[UNS] = _facts(spec, model, command)
    return Drawn(table, asked.label, model.digest, notices)


def _orthologs(spec: OrthologSpec | None) -> Orthologs | None:
    return read_orthologs(spec.file, spec.cells, spec.model) if spec is not None else None


def _draw(
    spec: GenerateSpec,
    model: Checkpoint,
    asked: NamedCondition,
    start: _Start | None,
    on_progress: Progress | None,
) -> tuple[AnnData, tuple[str, ...]]:
    words, root = model.vocabulary, generation_root(spec.seed)
    cells = len(start.names) if start is not None else spec.cells or DEFAULT_CELLS
    contexts = _contexts(spec, words, start, cells)
    depth = draw_depths(words, model.control_depths, contexts, root) if start is None else start.depth
    parts = tuple((part.name, part.dose) for part in asked.perturbation.parts)
    batches = list(
        generate_cells(
            model.denoiser,
            words,
            [Condition(context, parts) for context in contexts],
            depth,
            root,
            RevealSettings(spec.sampler.steps, spec.sampler.schedule, spec.sampler.guidance),
            start.cells if start is not None else None,
            (lambda done: on_progress(done, cells)) if on_progress is not None else None,
        )
    )
    table = AnnData(
        X=sp.vstack([batch.counts for batch in batches]).tocsr(),
        obs=_obs(asked, words, contexts, depth, start),
        var=pd.DataFrame(index=pd.Index(words.genes, name="gene")),
    )
    kept = [batch.kept for batch in batches if batch.kept is not None]
    if kept:
        table.layers["kept"] = sp.vstack(kept).tocsr()
    return table, _notices(spec, words, contexts, start)


def _contexts(spec: GenerateSpec, words: Vocabulary, start: _Start | None, cells: int) -> tuple[Mapping[str, str], ...]:
    """State the factors of every cell."""
    own = start.factors if start is not None else ({},) * cells
    fixed = tuple({**spec.context, **factors} for factors in own)
    if spec.left_out == "unspecified" or not words.factors:
        return fixed
    return tuple(draw_contexts(words, fixed, generation_root(spec.seed)))


def _obs(
    asked: NamedCondition,
    words: Vocabulary,
    contexts: Sequence[Mapping[str, str]],
    depth: npt.NDArray[np.float64],
    start: _Start | None,
) -> pd.DataFrame:
    cells = len(contexts)
    columns: dict[str, Any] = {
        "perturbation": pd.Categorical([asked.perturbation.label] * cells),
        "perturbation_type": pd.Categorical([asked.perturbation.type] * cells),
    }
    for factor in words.factors:
        columns[factor] = pd.Categorical([context.get(factor, UNSPECIFIED) for context in contexts])
    columns["depth"] = depth
    if start is not None:
        columns["start_cell"] = list(start.names)
        columns["kept_genes"] = np.full(cells, start.cells.kept_genes)
    return pd.DataFrame(columns, index=pd.Index([f"generated_{cell}" for cell in range(cells)], name="cell"))


def _notices(
    spec: GenerateSpec, words: Vocabulary, contexts: Sequence[Mapping[str, str]], start: _Start | None
) -> tuple[str, ...]:
    notices = []
    if start is not None:
        notices.append(start.match.describe())
        notices.append(f"{start.cells.kept_genes:,} genes of each cell are kept")
    unseen = {tuple(sorted(context.items())) for context in contexts if not agreeing_contexts(words, context)}
    if unseen:
        shown = ", ".join(f"{factor}={value}" for factor, value in sorted(unseen)[0])
        depths = "" if start is not None else "; their depths are those of all controls"
        notices.append(f"{len(unseen)} contexts such as {shown} were never seen together in training{depths}")
    return tuple(notices)


def _read_start(spec: GenerateSpec, start: StartSpec, words: Vocabulary, orthologs: Orthologs | None) -> _Start:
    """Read the start cells into the model's panel.

    Raises
    ------
    DataError
        If they can't be used.
    ConditionError
        If a cell has a factor's value that the model doesn't know.
    """
    with open_cells(start.path, start.layer) as file:
        found = file.matching(start.where) if start.where else np.arange(len(file))
        rows = _chosen_rows(found, spec.cells, spec.seed)
        match = match_panel(words.genes, file.genes, start.path, orthologs)
        counts = match.align(file.counts(rows))
        empty = int((counts.getnnz(axis=1) == 0).sum())
        if empty:
            raise UnusableCells(
                f"{start.path}: {empty} of the cells have no counts in the genes of the model; drop them"
            )
        return _Start(
            cells=StartCells(counts, match.present, start.keep),
            names=tuple(map(str, file.obs.index[rows])),
            factors=_own_factors(file, start, words, rows),
            depth=_own_depth(file, start, counts, rows),
            match=match,
        )


def _chosen_rows(found: npt.NDArray[np.int64], cells: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Choose the cells to start from: each once, or so many at random, each as often as the others."""
    if cells is None:
        return found
    order = generation_root(seed).generator("start").permutation(found)
    return np.resize(order, cells)


def _own_factors(
    file: CellFile, start: StartSpec, words: Vocabulary, rows: npt.NDArray[np.int64]
) -> tuple[Mapping[str, str], ...]:
    columns = {
        factor: [str(value) for value in file.column(column).iloc[rows]]
        for factor, column in start.columns.items()
        if factor != DEPTH
    }
    for factor, values in columns.items():
        for value in sorted(set(values)):
            if value not in words.factors[factor]:
                raise ConditionError(
                    f"{file.path}: {values.count(value)} cells have {factor} {value!r}, which the model doesn't know;"
                    f" {hint(value, words.factors[factor])}; choose other cells with `where`, or leave"
                    f" start.columns.{factor} out"
                )
    return tuple({factor: values[cell] for factor, values in columns.items()} for cell in range(len(rows)))


def _own_depth(
    file: CellFile, start: StartSpec, counts: sp.csr_matrix, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    total = np.asarray(counts.sum(axis=1)).ravel().astype(float)
    if DEPTH not in start.columns:
        return total
    column = start.columns[DEPTH]
    depth = pd.to_numeric(file.column(column), errors="coerce").to_numpy(dtype=float)[rows]
    if not np.isfinite(depth).all() or (depth < total).any():
        raise UnusableCells(
            f"{file.path}: obs[{column!r}] (start.columns.depth) must be the total UMIs of each cell, at least the sum"
            " of its counts"
        )
    return depth


def translate_genes(table: AnnData, orthologs: Orthologs) -> tuple[AnnData, int]:
    """Rename the genes of drawn cells to those of the start cells' species; genes without an ortholog are dropped."""
    names = orthologs.backwards()
    has = np.array([gene in names for gene in table.var_names])
    translated = table[:, has].copy()
    translated.var["model_gene"] = list(translated.var_names)
    translated.var_names = pd.Index([names[gene] for gene in translated.var_names], name="gene")
    return translated, int((~has).sum())


def _facts(spec: GenerateSpec, model: Checkpoint, command: str) -> dict[str, Any]:
    """State what the cells depend on."""
    return {
        "model": spec.model,
        "model_digest": model.digest,
        "paths": str(model.card["paths"]),
        "sampler": spec.sampler.name,
        "steps": spec.sampler.steps,
        "schedule": spec.sampler.schedule,
        "guidance": spec.sampler.guidance,
        "seed": spec.seed,
        "contexts": spec.left_out,
        "sampler_version": SAMPLER_VERSION,
        "command": command,
        "request": json.dumps(spec.as_data(), sort_keys=True),
        "version": version("lingshu-screen"),
    }
