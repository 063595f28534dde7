"""A simulated screen of real drugs: real structures, targets and pathways, simulated cells with a known answer.

It asks one question: whether a model that is given structures predicts drugs whose scaffold it has never seen. For
that the response must not be made from the structures, or the answer would be built in. It is made from the annotated
pathway and targets of each drug, and a part of its own::

    programme = √v_pathway · P(pathway) + √v_target · ΣT(target) / √targets + √v_own · O(drug)

P, T and O are random log fold changes of some genes. So a structure tells as much about the response as it does about
target and pathway in real chemistry, and no more. Annotations such as "Others" join nothing.

The response to a dose is the programme times a Hill function with an EC50 of the drug's own, times the sensitivity of
the cell line to the pathway. Counts are drawn by :mod:`lingshu_core.sequencing`: log-normal library sizes, gamma noise
for each gene and cell, multinomial sampling, which makes them negative binomial given the library size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtri

from lingshu_core.errors import SimulationError
from lingshu_core.sequencing import ExpectationTable, LibrarySizes, add_noise, draw_counts, draw_noise

Array = NDArray[np.float64]

CONTROL = "control"
UNSPECIFIC = frozenset({"", "others", "other"})
"""Annotations that say nothing."""

DEPTH_STRATA = 16


@dataclasses.dataclass(frozen=True)
class AnnotatedDrug:
    """A drug as an annotated library lists it: structure (empty if unknown), targets and pathway."""

    name: str
    smiles: str
    targets: tuple[str, ...]
    pathway: str


@dataclasses.dataclass(frozen=True)
class DrugSimulationConfig:
    """What to simulate.

    Attributes
    ----------
    genes, cell_lines
        Size of the panel, and lines.
    cells, control_cells
        Cells for each drug and dose over all lines together; control cells for each line.
    doses
        Micromolar, more than 0.
    pathway_share, target_share
        Shares of a programme's variance; the rest is the drug's own.
    responding_share
        Share of the genes that a pathway, a target or a drug's own part acts on.
    strength
        Standard deviation of a programme's log fold changes over all genes, at full response.
    median_ec50, ec50_sigma
        Log-normal potencies, micromolar.
    hill
        Lowest and highest Hill slope.
    sensitivity_sigma
        How much the sensitivities of lines to a pathway differ, as the sigma of a log-normal distribution.
    median_depth, depth_sigma
        Log-normal library sizes, in UMIs.
    overdispersion
        Variance of the gamma noise.
    truth_draws
        Cells of the noise that true effects are averaged over.
    seed
        Of everything.
    """

    genes: int = 800
    cell_lines: int = 3
    cells: int = 25
    control_cells: int = 400
    doses: tuple[float, ...] = (0.1, 1.0, 10.0)
    pathway_share: float = 0.3
    target_share: float = 0.45
    responding_share: float = 0.2
    strength: float = 0.5
    median_ec50: float = 1.0
    ec50_sigma: float = 1.0
    hill: tuple[float, float] = (0.8, 2.0)
    sensitivity_sigma: float = 0.3
    median_depth: float = 1_000.0
    depth_sigma: float = 0.4
    overdispersion: float = 0.25
    truth_draws: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be simulated."""
        least_one = ("genes", "cell_lines", "cells", "control_cells", "truth_draws")
        small = [name for name in least_one if getattr(self, name) < 1]
        positive = ("strength", "median_ec50", "median_depth", "overdispersion", "responding_share")
        small += [name for name in positive if getattr(self, name) <= 0]
        if small:
            raise SimulationError(f"{small[0]} has to be positive, not {getattr(self, small[0]):g}")
        if not self.doses or min(self.doses) <= 0:
            raise SimulationError("doses have to be positive numbers, at least one")
        shares = (self.pathway_share, self.target_share, self.own_share)
        if min(shares) < -1e-12:
            raise SimulationError(
                f"pathway_share {self.pathway_share:g} and target_share {self.target_share:g} have to lie in [0, 1], "
                "with a sum of at most 1"
            )

    @property
    def own_share(self) -> float:
        """Share of a programme's variance that is the drug's own."""
        return 1.0 - self.pathway_share - self.target_share


@dataclasses.dataclass(frozen=True)
class DrugSimulation:
    """A simulated drug screen.

    Attributes
    ----------
    config
        What was asked for.
    drugs
        The drugs with a structure, in the order given.
    left_out
        How many had none.
    counts
        (cells, genes), CSR, ``uint16``.
    obs
        ``perturbation``, ``perturbation_type``, ``dose`` (micromolar, 0 for control), ``cell_type`` (the line), a row
        for each cell.
    genes
        Names of the genes.
    true_effect
        (drugs, doses, lines, genes): depth-matched difference to the line's control, ``log1p counts per 10k``.
    programme
        (drugs, genes): natural log fold changes at full response.
    ec50
        (drugs,), micromolar.
    """

    config: DrugSimulationConfig
    drugs: tuple[AnnotatedDrug, ...]
    left_out: int
    counts: sp.csr_matrix
    obs: pd.DataFrame
    genes: tuple[str, ...]
    true_effect: Array
    programme: Array
    ec50: Array


@dataclasses.dataclass(frozen=True)
class _Response:
    """How drugs act: programmes (drugs, genes), and how far each is reached (drugs, doses, lines)."""

    programme: Array
    level: Array
    ec50: Array

    def log_fold(self, drug: int, dose: int, line: int) -> Array:
        """Log fold changes (genes,)."""
        changes: Array = self.programme[drug] * self.level[drug, dose, line]
        return changes


def parse_targets(text: str) -> tuple[str, ...]:
    """Split a list of targets with commas, ``EGFR,HER2``; those that say nothing (``Others``) are left out."""
    found = dict.fromkeys(part.strip() for part in text.split(","))
    return tuple(target for target in found if target.casefold() not in UNSPECIFIC)


def simulate_drugs(drugs: Sequence[AnnotatedDrug], config: DrugSimulationConfig | None = None) -> DrugSimulation:
    """Simulate a screen of real drugs.

    Parameters
    ----------
    drugs
        Those without a SMILES are left out and counted.
    config
        By default that of the benchmark.

    Returns
    -------
    DrugSimulation
        The same for the same drugs and configuration.

    Raises
    ------
    SimulationError
        If no drug has a structure, or a name occurs twice or is that of the control.
    """
    config = config or DrugSimulationConfig()
    kept = tuple(drug for drug in drugs if drug.smiles)
    _check_names(kept)
    rng = np.random.default_rng(config.seed)
    baseline = _baseline(config, rng)
    response = _draw_response(kept, config, rng)
    sizes = LibrarySizes(np.full(config.cell_lines, config.median_depth), config.depth_sigma)
    counts, obs = _draw_cells(kept, config, baseline, response, sizes, rng)
    return DrugSimulation(
        config=config,
        drugs=kept,
        left_out=len(drugs) - len(kept),
        counts=counts,
        obs=obs,
        genes=tuple(f"GENE{gene:04d}" for gene in range(config.genes)),
        true_effect=_true_effects(config, baseline, response, sizes, rng),
        programme=response.programme,
        ec50=response.ec50,
    )


def _check_names(drugs: Sequence[AnnotatedDrug]) -> None:
    names = [drug.name for drug in drugs]
    if not names:
        raise SimulationError("none of the drugs has a SMILES; at least one is needed")
    twice = sorted({name for name in names if names.count(name) > 1 or name == CONTROL})
    if twice:
        raise SimulationError(
            f"drug names have to be unique and not {CONTROL!r}; these are not: {', '.join(twice[:5])}"
        )


def _baseline(config: DrugSimulationConfig, rng: np.random.Generator) -> Array:
    """Natural log of each gene's share in each line, (lines, genes): log-normal, lines alike but for some genes."""
    common = rng.normal(0.0, 2.0, config.genes)
    own = rng.normal(0.0, 0.6, (config.cell_lines, config.genes)) * (
        rng.random((config.cell_lines, config.genes)) < 0.3
    )
    return common + own


def _draw_response(drugs: Sequence[AnnotatedDrug], config: DrugSimulationConfig, rng: np.random.Generator) -> _Response:
    pathways = _programmes({drug.pathway for drug in drugs if drug.pathway.casefold() not in UNSPECIFIC}, config, rng)
    targets = _programmes({target for drug in drugs for target in drug.targets}, config, rng)
    programme = np.stack([_programme(drug, pathways, targets, config, rng) for drug in drugs])
    ec50 = config.median_ec50 * np.exp(config.ec50_sigma * rng.standard_normal(len(drugs)))
    slope = rng.uniform(*config.hill, len(drugs))
    # (drugs, 1) against (doses,) -> (drugs, doses)
    reached = 1.0 / (1.0 + (ec50[:, None] / np.asarray(config.doses)) ** slope[:, None])
    names = sorted({drug.pathway for drug in drugs})
    sensitivity = np.exp(config.sensitivity_sigma * rng.standard_normal((len(names), config.cell_lines)))
    of_drug = sensitivity[[names.index(drug.pathway) for drug in drugs]]
    return _Response(programme, reached[:, :, None] * of_drug[:, None, :], ec50)


def _programmes(names: set[str], config: DrugSimulationConfig, rng: np.random.Generator) -> dict[str, Array]:
    return {name: _sparse_normal(config, rng) for name in sorted(names)}


def _programme(
    drug: AnnotatedDrug,
    pathways: dict[str, Array],
    targets: dict[str, Array],
    config: DrugSimulationConfig,
    rng: np.random.Generator,
) -> Array:
    """Log fold changes (genes,); a part without an annotation is the drug's own, so that all are equally strong."""
    own = [_sparse_normal(config, rng) for _ in range(3)]
    pathway = pathways.get(drug.pathway, own[0])
    acting = [targets[target] for target in drug.targets]
    target = np.sum(acting, axis=0) / np.sqrt(len(acting)) if acting else own[1]
    shares = (config.pathway_share, config.target_share, config.own_share)
    parts = [np.sqrt(max(share, 0.0)) * part for share, part in zip(shares, (pathway, target, own[2]), strict=True)]
    programme: Array = config.strength * np.sum(parts, axis=0)
    return programme


def _sparse_normal(config: DrugSimulationConfig, rng: np.random.Generator) -> Array:
    """Numbers (genes,) with variance 1, zero for most genes."""
    acts = rng.random(config.genes) < config.responding_share
    values: Array = rng.standard_normal(config.genes) * acts / np.sqrt(config.responding_share)
    return values


def _shares(log_shares: Array) -> Array:
    shares = np.exp(log_shares - log_shares.max(axis=-1, keepdims=True))
    normalised: Array = shares / shares.sum(axis=-1, keepdims=True)
    return normalised


def _draw_cells(
    drugs: Sequence[AnnotatedDrug],
    config: DrugSimulationConfig,
    baseline: Array,
    response: _Response,
    sizes: LibrarySizes,
    rng: np.random.Generator,
) -> tuple[sp.csr_matrix, pd.DataFrame]:
    blocks, rows = [], []
    still = np.zeros(config.genes)
    # The remainder of a condition's cells goes to other lines from drug to drug.
    conditions = [(CONTROL, 0.0, line, still, config.control_cells) for line in range(config.cell_lines)]
    for position, drug in enumerate(drugs):
        for number, dose in enumerate(config.doses):
            conditions += [
                (drug.name, dose, line, response.log_fold(position, number, line), cells)
                for line, cells in enumerate(_spread(config.cells, config.cell_lines, position + number))
            ]
    for name, dose, line, log_fold, cells in conditions:
        shares = np.tile(_shares(baseline[line] + log_fold), (cells, 1))
        depths = sizes.draw(np.full(cells, line), rng)
        blocks.append(draw_counts(add_noise(shares, draw_noise(shares, config.overdispersion, rng)), depths, rng))
        kind = "none" if name == CONTROL else "drug"
        rows += [(name, kind, dose, f"line {line + 1}")] * cells
    obs = pd.DataFrame(rows, columns=["perturbation", "perturbation_type", "dose", "cell_type"])
    obs.index = pd.Index([f"cell{cell}" for cell in range(len(obs))])
    return sp.csr_matrix(sp.vstack(blocks)), obs


def _spread(cells: int, lines: int, first: int) -> list[int]:
    """Deal cells to the lines as evenly as they go."""
    return [cells // lines + ((line - first) % lines < cells % lines) for line in range(lines)]


def _true_effects(
    config: DrugSimulationConfig, baseline: Array, response: _Response, sizes: LibrarySizes, rng: np.random.Generator
) -> Array:
    """Expected effects (drugs, doses, lines, genes): condition and control share noise and library sizes."""
    drugs, doses, lines = response.level.shape
    strata = rng.permutation(config.truth_draws) % DEPTH_STRATA
    level = (strata + 0.5) / DEPTH_STRATA
    depths = np.rint(sizes.medians[0] * np.exp(sizes.sigma * ndtri(level))).astype(np.int64)
    noise = draw_noise(np.empty((config.truth_draws, config.genes)), config.overdispersion, rng)
    table = ExpectationTable(depths)
    effect = np.empty((drugs, doses, lines, config.genes))
    for line in range(lines):
        control = _expected(baseline[line], noise, depths, table)
        for drug in range(drugs):
            for dose in range(doses):
                log_shares = baseline[line] + response.log_fold(drug, dose, line)
                effect[drug, dose, line] = _expected(log_shares, noise, depths, table) - control
    return effect


def _expected(log_shares: Array, noise: Array, depths: NDArray[np.int64], table: ExpectationTable) -> Array:
    """Expected ``log1p counts per 10k`` (genes,) over the draws."""
    shares = np.broadcast_to(_shares(log_shares), noise.shape)
    expected: Array = table(add_noise(shares, noise), depths).mean(axis=0)
    return expected
