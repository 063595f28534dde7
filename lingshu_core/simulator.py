"""A simulated perturbation screen whose answer is known.

It is a test bench, not the product: it lets the quickstart and the tests ask whether a screen finds what is there, on
data that look like 10x counts. It says nothing about real cells, and a model that does well here has shown only that
the machinery works.

The cells come from a gene regulatory network at steady state (:mod:`lingshu_core.regulatory_network`), in several cell
types and donors, under knock-outs, knock-downs, drugs at doses and combinations
(:mod:`lingshu_core.perturbation_design`), read out by droplet sequencing (:mod:`lingshu_core.sequencing`). A programme
of genes is driven up by a pathway; the perturbations of that pathway are the planted hits. The true effects and hits
(:mod:`lingshu_core.simulated_truth`) cover every condition, also those that have no cells and must be predicted.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from lingshu_core.network_drawing import draw_network
from lingshu_core.perturbation_design import (
    Condition,
    Drug,
    Perturbation,
    control,
    draw_perturbations,
    lay_out,
)
from lingshu_core.regulatory_network import LATENTS, Actions, Cells, Network
from lingshu_core.sequencing import CELL_BLOCK, LibrarySizes, add_noise, draw_counts, draw_noise
from lingshu_core.simulated_truth import Hits, TrueEffects, find_hits, true_effects
from lingshu_core.simulation_config import SimulationConfig

PROGRAM_NAME = "SIMULATED_PROGRAM"
TRUTH_COLUMNS = ["cell_type", "perturbation", "dose", "true_score", "true_hit", "measured"]


@dataclasses.dataclass(frozen=True)
class SimulationFiles:
    """Where :meth:`Simulation.write` put things."""

    cells: Path
    truth: Path
    truth_table: Path
    program: Path
    description: Path


@dataclasses.dataclass(frozen=True)
class Simulation:
    """A simulated screen.

    Attributes
    ----------
    config
        What was asked for.
    cells
        Raw counts, cells × genes (CSR, ``uint16``). ``obs``: ``perturbation`` (``control`` for controls, ``A+B`` for
        combinations), ``perturbation_type`` (``none``, ``genetic``, ``drug``), ``method`` (``none``, ``knockout``,
        ``knockdown``, ``inhibitor``, ``activator``), ``cell_type``, ``donor``, ``batch``, ``dose`` (micromolar, 0 for
        none).
    true_effects
        Conditions × genes: the depth-matched effect in ``log1p counts per 10k``; layer ``expected`` holds the expected
        expression itself. ``obs``: ``cell_type``, ``perturbation``, ``dose``, ``perturbation_type``, ``method``,
        ``measured`` (has cells), ``true_score`` (mean effect over the programme), ``true_score_se``, ``true_hit``.
    program
        The genes that the hits push down.
    hit_threshold
        A condition is a hit if its true score is at or below it.
    hit_gap
        Distance between the true scores of the weakest hit and the strongest other condition.
    drugs
        The drugs with their targets and dose response.
    pathway
        The regulators upstream of the programme, receptor first.
    """

    config: SimulationConfig
    cells: anndata.AnnData
    true_effects: anndata.AnnData
    program: list[str]
    hit_threshold: float
    hit_gap: float
    drugs: list[Drug]
    pathway: list[str]

    @property
    def hits(self) -> int:
        """Number of conditions that are hits."""
        return int(self.true_effects.obs["true_hit"].sum())

    @property
    def truth_table(self) -> pd.DataFrame:
        """Conditions with true score, hit and whether measured, strongest first."""
        table = self.true_effects.obs[TRUTH_COLUMNS].sort_values("true_score", kind="stable")
        return table.astype({"cell_type": str, "perturbation": str}).reset_index(drop=True)

    def write(self, folder: str | Path) -> SimulationFiles:
        """Write the screen into a folder, made if need be; files of an earlier simulation are replaced.

        Parameters
        ----------
        folder
            Gets ``cells.h5ad``, ``truth.h5ad``, ``truth.parquet``, ``program.gmt`` and ``simulation.json``.

        Raises
        ------
        OSError
            If the folder can't be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = SimulationFiles(
            cells=folder / "cells.h5ad",
            truth=folder / "truth.h5ad",
            truth_table=folder / "truth.parquet",
            program=folder / "program.gmt",
            description=folder / "simulation.json",
        )
        self.cells.write_h5ad(files.cells, compression="gzip")
        self.true_effects.write_h5ad(files.truth, compression="gzip")
        self.truth_table.to_parquet(files.truth_table, index=False)
        files.program.write_text("\t".join([PROGRAM_NAME, "simulated", *self.program]) + "\n", encoding="utf-8")
        files.description.write_text(json.dumps(self.describe(), indent=2) + "\n", encoding="utf-8")
        return files

    def describe(self) -> dict[str, object]:
        """The configuration and what was planted, as plain data."""
        genes = list(self.cells.var_names)
        return {
            "purpose": "simulated test bench with known truth; not real cells",
            "config": dataclasses.asdict(self.config),
            "units": "log1p counts per 10k",
            "cells": self.cells.n_obs,
            "conditions": self.true_effects.n_obs,
            "hits": self.hits,
            "hit_threshold": self.hit_threshold,
            "hit_gap": self.hit_gap,
            "pathway": self.pathway,
            "drugs": [_describe_drug(drug, genes) for drug in self.drugs],
        }


def simulate(config: SimulationConfig | None = None) -> Simulation:
    """Simulate a screen; the same configuration gives the same screen.

    Parameters
    ----------
    config
        Size and difficulty; the quickstart's by default.

    Raises
    ------
    SimulationError
        If the network has no steady state or the planted hits do not stand out from the others.
    """
    config = config or SimulationConfig()
    # One stream for each part, so that asking for more cells changes neither the network nor the truth.
    seeds = np.random.SeedSequence(config.seed).spawn(4)
    network_rng, design_rng, truth_rng, cells_rng = (np.random.default_rng(seed) for seed in seeds)
    network = draw_network(config, network_rng)
    sizes = _draw_library_sizes(config, network_rng)
    perturbations = draw_perturbations(config, network, design_rng)
    conditions = lay_out(config, perturbations, design_rng)
    effects = true_effects(config, network, sizes, conditions, truth_rng)
    hits = find_hits(config, network, conditions, effects.score)
    return Simulation(
        config=config,
        cells=_draw_cells(config, network, sizes, conditions, cells_rng),
        true_effects=_as_anndata(network, conditions, effects, hits),
        program=network.program_names,
        hit_threshold=hits.threshold,
        hit_gap=hits.gap,
        drugs=[perturbation.drug for perturbation in perturbations if perturbation.drug is not None],
        pathway=[network.gene_names[regulator] for regulator in network.pathway],
    )


@dataclasses.dataclass(frozen=True)
class _Group:
    """Cells of one cell type under one perturbation and dose."""

    cell_type: int
    perturbation: Perturbation
    dose: float
    cells: int


def _draw_library_sizes(config: SimulationConfig, rng: np.random.Generator) -> LibrarySizes:
    factors = np.exp(rng.uniform(-0.15, 0.15, size=config.cell_types))
    # The median over all cells stays the one asked for.
    return LibrarySizes(config.median_depth * factors / np.median(factors), config.depth_sigma)


def _draw_cells(
    config: SimulationConfig,
    network: Network,
    sizes: LibrarySizes,
    conditions: list[Condition],
    rng: np.random.Generator,
) -> anndata.AnnData:
    groups = _cell_groups(config, conditions)
    group = np.repeat(np.arange(len(groups)), [each.cells for each in groups])
    cell_type = np.array([each.cell_type for each in groups])[group]
    # Cells of a group go to the donors in turn; groups start with different donors.
    start = np.concatenate([np.arange(each.cells) + index for index, each in enumerate(groups)])
    hidden = Cells(cell_type, start % config.donors, rng.standard_normal((len(group), LATENTS)))
    counts = _sequence(config, network, sizes, groups, group, hidden, rng)
    batch = rng.integers(config.batches, size=len(group))
    return anndata.AnnData(
        X=counts,
        obs=_cell_table(groups, group, hidden, batch),
        var=_gene_table(network),
        uns={"simulated": "test bench with known truth, not real cells"},
    )


def _cell_groups(config: SimulationConfig, conditions: list[Condition]) -> list[_Group]:
    unperturbed = control()
    controls = [
        _Group(cell_type, unperturbed, 0.0, config.control_cells * config.donors)
        for cell_type in range(config.cell_types)
    ]
    measured = [condition for condition in conditions if condition.measured]
    return controls + [
        _Group(each.cell_type, each.perturbation, each.dose, config.cells_per_condition) for each in measured
    ]


def _sequence(
    config: SimulationConfig,
    network: Network,
    sizes: LibrarySizes,
    groups: list[_Group],
    group: NDArray[np.intp],
    hidden: Cells,
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Counts (cells, genes) of all cells, a block at a time."""
    blocks = []
    for first in range(0, len(group), CELL_BLOCK):
        rows = slice(first, first + CELL_BLOCK)
        cells = Cells(hidden.cell_type[rows], hidden.donor[rows], hidden.latents[rows])
        shares = network.shares(cells, _actions(groups, group[rows], network.regulators))
        noise = draw_noise(shares, config.overdispersion, rng)
        blocks.append(draw_counts(add_noise(shares, noise), sizes.draw(cells.cell_type, rng), rng))
    return sp.csr_matrix(sp.vstack(blocks))


def _actions(groups: list[_Group], group: NDArray[np.intp], regulators: int) -> Actions:
    actions = Actions.none(len(group), regulators)
    for index in np.unique(group):
        groups[index].perturbation.act(actions, np.flatnonzero(group == index), groups[index].dose)
    return actions


def _cell_table(groups: list[_Group], group: NDArray[np.intp], hidden: Cells, batch: NDArray[np.intp]) -> pd.DataFrame:
    perturbations = [each.perturbation for each in groups]
    columns = {
        "perturbation": np.array([each.name for each in perturbations])[group],
        "perturbation_type": np.array([each.kind for each in perturbations])[group],
        "method": np.array([each.method for each in perturbations])[group],
        "cell_type": _numbered("type", hidden.cell_type),
        "donor": _numbered("donor", hidden.donor),
        "batch": _numbered("batch", batch),
    }
    names = [f"cell_{number:06d}" for number in range(1, len(group) + 1)]
    table = pd.DataFrame({name: pd.Categorical(values) for name, values in columns.items()}, index=names)
    return table.assign(dose=np.array([each.dose for each in groups])[group])


def _gene_table(network: Network) -> pd.DataFrame:
    kinds = np.where(np.arange(len(network.gene_names)) < network.regulators, "regulator", "target")
    return pd.DataFrame({"gene_type": pd.Categorical(kinds)}, index=list(network.gene_names))


def _numbered(prefix: str, index: NDArray[np.intp]) -> list[str]:
    return [f"{prefix}_{number + 1}" for number in index]


def _as_anndata(network: Network, conditions: list[Condition], effects: TrueEffects, hits: Hits) -> anndata.AnnData:
    cell_type = np.array([condition.cell_type for condition in conditions])
    perturbations = [condition.perturbation for condition in conditions]
    table = pd.DataFrame(
        {
            "cell_type": pd.Categorical(_numbered("type", cell_type)),
            "perturbation": pd.Categorical([each.name for each in perturbations]),
            "dose": [condition.dose for condition in conditions],
            "perturbation_type": pd.Categorical([each.kind for each in perturbations]),
            "method": pd.Categorical([each.method for each in perturbations]),
            "measured": [condition.measured for condition in conditions],
            "true_score": effects.score,
            "true_score_se": effects.score_error,
            "true_hit": hits.is_hit,
        },
        index=[f"condition_{number:05d}" for number in range(1, len(conditions) + 1)],
    )
    expected = (effects.control[cell_type] + effects.effect).astype(np.float32)
    genes = _gene_table(network).assign(in_program=np.isin(np.arange(len(network.gene_names)), network.program))
    return anndata.AnnData(
        X=effects.effect.astype(np.float32),
        obs=table,
        var=genes,
        layers={"expected": expected},
        uns={"units": "log1p counts per 10k", "hit_threshold": hits.threshold, "hit_gap": hits.gap},
    )


def _describe_drug(drug: Drug, genes: list[str]) -> dict[str, object]:
    return {
        "name": drug.name,
        "targets": [genes[target] for target in drug.targets],
        "method": drug.method,
        "ec50_micromolar": drug.ec50,
        "hill_coefficient": drug.hill_coefficient,
    }
