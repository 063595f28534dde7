"""From the objective of a campaign to the weights of every context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from campaigns.cell_objectives import ConnectivitySpec, PopulationSpec
from campaigns.conditions import Context
from campaigns.data_spec import DataSpec
from campaigns.plugin_spec import PluginObjectiveSpec
from campaigns.screen_spec import MarkersSpec, ObjectiveSpec, ReferenceSpec, SignatureSpec, TargetStateSpec
from lingshu_core.cell_files import find_files, read_all
from lingshu_core.cells import Cells, CellSource
from lingshu_core.differences import GroupDifference, group_difference
from lingshu_core.state_space import fit_state_space
from screening.errors import ObjectiveError
from screening.objective.compendium import compendium_scores
from screening.objective.connectivity_readout import ConnectivityReadout
from screening.objective.objectives import Readout, difference_readout, signed_readout
from screening.objective.plugin_objective import plugin_readouts
from screening.objective.population_readout import PopulationReadout, population_readout

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
POPULATION_WORDS = {
    ("e_distance", "up"): "cells nearer to",
    ("e_distance", "down"): "cells farther from",
    ("state_share", "up"): "more cells in the state of",
    ("state_share", "down"): "fewer cells in the state of",
    ("heterogeneity", "up"): "a more heterogeneous response on the way to",
    ("heterogeneity", "down"): "a less heterogeneous response on the way to",
}
BETTER_THAN_CHANCE = 0.2
"""How far on the way from chance to perfect a classifier of real cells has to be."""


def cell_sources(data: DataSpec) -> tuple[CellSource, ...]:
    """Translate the ``data`` block of a YAML file for the readers of cells, a source a file.

    Raises
    ------
    UnreadableCells
        If a pattern fits no file.
    """
    return tuple(
        CellSource(path, data.columns.named, data.factors, data.control, data.layer) for path in find_files(data.paths)
    )


def read_data(data: DataSpec, *, experiment: bool = True) -> Cells:
    """Read the cells of a ``data`` block into memory; errors as in :func:`lingshu_core.cells.read_cells`."""
    return read_all(cell_sources(data), data.genes, experiment=experiment)


def build_readouts(
    objective: ObjectiveSpec,
    resolved: Mapping[str, Any] | None,
    genes: tuple[str, ...],
    contexts: Sequence[Context],
    depths: Callable[[Context], Array] = lambda context: np.empty(0),
) -> dict[Context, Readout]:
    """Build the readout of every context.

    Parameters
    ----------
    objective
        Of the campaign.
    resolved
        The plan's ``objective["resolved"]``: genes to raise and to lower; None where real cells decide.
    genes
        The model's genes.
    contexts
        Contexts of the screen.
    depths
        Context → depths of its control cells in the model, (controls,); needed for an objective of a population.

    Raises
    ------
    ObjectiveError
        If nothing is left to score by in a context.
    DataError
        If the real cells can't be used.
    """
    if isinstance(objective, PopulationSpec):
        return _populations(objective, genes, contexts, depths)
    if isinstance(objective, PluginObjectiveSpec):
        return plugin_readouts(objective, genes, contexts)
    if isinstance(objective, TargetStateSpec):
        return _toward_state(objective, genes, contexts)
    if isinstance(objective, SignatureSpec) and objective.reference is not None:
        readout = _along_reference(objective.reference, genes)
        return dict.fromkeys(contexts, readout)
    directions = dict.fromkeys((resolved or {}).get("up", ()), 1) | dict.fromkeys((resolved or {}).get("down", ()), -1)
    readout = signed_readout(genes, directions, _signed_question(objective, directions))
    if isinstance(objective, MarkersSpec):
        readout = Readout(readout.weights, readout.normalisation, readout.question, tuple(directions))
    if isinstance(objective, ConnectivitySpec):
        readout = _connectivity(readout, objective, genes)
    return dict.fromkeys(contexts, readout)


def _signed_question(objective: ObjectiveSpec, directions: Mapping[str, int]) -> str:
    if isinstance(objective, SignatureSpec) and objective.gene_set is not None:
        return f"{objective.gene_set.name} {objective.gene_set.direction} ({len(directions)} genes)"
    named = [f"{gene} {'up' if sign > 0 else 'down'}" for gene, sign in directions.items()]
    return ", ".join(named[:6]) + (f" and {len(named) - 6} more" if len(named) > 6 else "")


def _along_reference(reference: ReferenceSpec, genes: tuple[str, ...]) -> Readout:
    cells = read_data(reference.data, experiment=False)
    found = group_difference(cells, cells.matching(reference.start), cells.matching(reference.to))
    sign = 1.0 if reference.mode == "mimic" else -1.0
    question = f"{reference.mode} the change from {_words(reference.start)} to {_words(reference.to)}"
    return _readout(found, sign, cells, genes, question, cells.source)


def _toward_state(
    objective: TargetStateSpec, genes: tuple[str, ...], contexts: Sequence[Context]
) -> dict[Context, Readout]:
    cells = read_data(objective.data, experiment=False)
    target = cells.matching(objective.group)
    question = f"toward {_words(objective.group)}"
    readouts = {}
    for context in contexts:
        start = cells.is_control & cells.matching(context.as_dict())
        if np.array_equal(start, target):
            raise ObjectiveError(f"objective: {context.label} is the target already; leave it out of `contexts`")
        found = group_difference(cells, start, target)
        readouts[context] = _readout(found, 1.0, cells, genes, question, context.label)
    return readouts


def _readout(
    found: GroupDifference, sign: float, cells: Cells, genes: tuple[str, ...], question: str, where: str
) -> Readout:
    """Bring a difference into the model's gene order; genes that the cells don't have don't count."""
    position = {gene: i for i, gene in enumerate(cells.genes)}
    shared = np.array([i for i, gene in enumerate(genes) if gene in position], dtype=np.int64)
    if not len(shared):
        raise ObjectiveError(f"objective: {cells.source} shares no gene with the model; are the names of one kind?")
    theirs = np.array([position[genes[i]] for i in shared], dtype=np.int64)
    difference, certain = np.zeros(len(genes)), np.zeros(len(genes), dtype=bool)
    difference[shared] = sign * found.difference[theirs]
    certain[shared] = found.certain()[theirs]
    return difference_readout(difference, certain, question, where)


def _connectivity(signed: Readout, objective: ConnectivitySpec, genes: tuple[str, ...]) -> ConnectivityReadout:
    query = int(signed.used.sum())
    if 2 * query > len(genes):
        raise ObjectiveError(
            f"objective: the query has {query} of the model's {len(genes)} genes; it is looked for among the others, so"
            " it can have half of them at most"
        )
    path = objective.compendium
    scores = None if path is None else compendium_scores(path, genes, signed.weights)
    question = f"effects like {signed.question}"
    return ConnectivityReadout(signed.weights, "connectivity", question, compendium=scores)


def _populations(
    objective: PopulationSpec, genes: tuple[str, ...], contexts: Sequence[Context], depths: Callable[[Context], Array]
) -> dict[Context, Readout]:
    cells = read_data(objective.data, experiment=False)
    group = cells.matching(objective.group)
    named = [cells.matching(other) for other in objective.against]
    return {
        context: _population(
            objective,
            cells,
            group,
            named or [cells.is_control & cells.matching(context.as_dict())],
            genes,
            depths(context),
            context.label,
        )
        for context in contexts
    }


def _population(
    objective: PopulationSpec,
    cells: Cells,
    group: Mask,
    others: Sequence[Mask],
    genes: tuple[str, ...],
    depths: Array,
    where: str,
) -> PopulationReadout:
    if not objective.against and np.array_equal(others[0], group):
        raise ObjectiveError(f"objective: {where} is the reference already; leave it out of `contexts`")
    space = fit_state_space(cells, group, others, genes, depths)
    measured = group_difference(cells, np.any(others, axis=0), group).certain()
    if not measured.any() or space.view().separation <= 0:
        raise ObjectiveError(f"objective: in {where} the groups of cells do not differ: there is no way to go")
    chance = 1 / space.states
    if objective.measure == "state_share" and space.accuracy < chance + BETTER_THAN_CHANCE * (1 - chance):
        raise ObjectiveError(
            f"objective: in {where} real cells of the groups can't be told apart (balanced accuracy"
            f" {space.accuracy:.2f}, chance {chance:.2f}): the share in a state would mean nothing"
        )
    question = f"{POPULATION_WORDS[objective.measure, objective.direction]} {_words(objective.group)}"
    sign = 1.0 if objective.direction == "up" else -1.0
    return population_readout(space, len(genes), objective.measure, sign, question)


def _words(match: Mapping[str, Any]) -> str:
    return ", ".join(f"{role} {'/'.join(map(str, values))}" for role, values in match.items())
