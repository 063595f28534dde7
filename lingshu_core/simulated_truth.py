"""True effects of simulated conditions, and which of them are hits.

The estimand is the *depth-matched* effect: E[log1p(1e4 K / D) | condition] - E[log1p(1e4 K / D) | control], K the
count of a gene, both over the same library sizes D, those of the cell type, over its donors in equal parts and over the
cell-to-cell variability. Sequencing is integrated exactly (a table of binomial expectations); the cells' latents, the
gamma noise and the library sizes are a Latin hypercube of draws that condition and control share (common random
numbers). Independent replicates of that design give the standard error.

A condition's true score is the mean true effect over the programme's genes; it is a hit if that is at or below the
threshold, which lies in the middle of the gap between the planted conditions and all others.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri

from lingshu_core.errors import SimulationError
from lingshu_core.perturbation_design import Condition
from lingshu_core.regulatory_network import LATENTS, Actions, Array, Cells, Network
from lingshu_core.sequencing import ExpectationTable, LibrarySizes, add_noise
from lingshu_core.simulation_config import SimulationConfig

DEPTH_STRATA = 16


@dataclasses.dataclass(frozen=True)
class TrueEffects:
    """What conditions do, on average.

    Attributes
    ----------
    control
        Expected ``log1p counts per 10k`` of control cells (cell types, genes).
    effect
        Difference to the control of the cell type (conditions, genes), in ``log1p counts per 10k``.
    score, score_error
        Mean of `effect` over the programme, and its standard error over replicates (conditions,).
    """

    control: Array
    effect: Array
    score: Array
    score_error: Array


@dataclasses.dataclass(frozen=True)
class Hits:
    """Which conditions are hits.

    Attributes
    ----------
    is_hit
        (conditions,)
    threshold
        Greatest score of a hit, in ``log1p counts per 10k``.
    gap
        Distance between the weakest hit and the strongest other condition.
    """

    is_hit: NDArray[np.bool_]
    threshold: float
    gap: float


@dataclasses.dataclass(frozen=True)
class _Draws:
    """Latin hypercube of hidden cells of one cell type, all replicates one below the other."""

    cells: Cells
    noise: Array
    depths: NDArray[np.int64]
    replicates: int

    def replicate_means(self, values: Array) -> Array:
        """Means over the draws of each replicate, (draws, genes) -> (replicates, genes)."""
        # (replicates * draws, genes) -> (replicates, draws, genes) -> (replicates, genes)
        means: Array = values.reshape(self.replicates, -1, values.shape[1]).mean(axis=1)
        return means


def true_effects(
    config: SimulationConfig,
    network: Network,
    sizes: LibrarySizes,
    conditions: list[Condition],
    rng: np.random.Generator,
) -> TrueEffects:
    """Compute the true effects of all conditions.

    Parameters
    ----------
    config
        Numbers of draws and replicates, and the overdispersion.
    network
        The regulatory network.
    sizes
        Library sizes of the cell types.
    conditions
        What to compute.
    rng
        Source of the Latin hypercube.

    Raises
    ------
    SimulationError
        If some cell reaches no steady state.
    """
    genes = len(network.gene_names)
    control = np.empty((config.cell_types, genes))
    effect = np.empty((len(conditions), genes))
    scores = np.empty((len(conditions), config.truth_replicates))
    for cell_type in range(config.cell_types):
        draws = _draw_hypercube(cell_type, config, sizes, genes, rng)
        table = ExpectationTable(draws.depths)
        reference = _expectations(network, draws, table, None)
        control[cell_type] = reference.mean(axis=0)
        for row, condition in enumerate(conditions):
            if condition.cell_type == cell_type:
                difference = _expectations(network, draws, table, condition) - reference
                effect[row] = difference.mean(axis=0)
                scores[row] = difference[:, network.program].mean(axis=1)
    error = scores.std(axis=1, ddof=1) / np.sqrt(config.truth_replicates)
    return TrueEffects(control, effect, scores.mean(axis=1), error)


def find_hits(config: SimulationConfig, network: Network, conditions: list[Condition], score: Array) -> Hits:
    """Set the threshold between the planted conditions and the others.

    Parameters
    ----------
    config
        The least gap.
    network, conditions, score
        The network, the conditions and their true scores (conditions,).

    Raises
    ------
    SimulationError
        If the planted conditions are not the lowest, by `config.hit_margin`.
    """
    planted = np.array([condition.is_planted(network) for condition in conditions])
    weakest = int(np.flatnonzero(planted)[score[planted].argmax()])
    strongest = score[~planted].min(initial=0.0)  # doing nothing is never a hit
    gap = float(strongest - score[weakest])
    if gap < config.hit_margin:
        perturbation = conditions[weakest].perturbation
        raise SimulationError(
            f"the planted hits do not stand out: the weakest, {perturbation.name} at dose "
            f"{conditions[weakest].dose:g}, scores {score[weakest]:.3f}, the strongest other condition "
            f"{strongest:.3f} (hit_margin {config.hit_margin:g}); raise program_strength, lower hit_margin or "
            f"take another seed than {config.seed}"
        )
    threshold = float(strongest + score[weakest]) / 2.0
    return Hits(score <= threshold, threshold, gap)


def _expectations(network: Network, draws: _Draws, table: ExpectationTable, condition: Condition | None) -> Array:
    """Expected ``log1p counts per 10k`` (replicates, genes) of a condition, or of the control."""
    actions = Actions.none(len(draws.depths), network.regulators)
    if condition is not None:
        condition.perturbation.act(actions, slice(None), condition.dose)
    shares = add_noise(network.shares(draws.cells, actions), draws.noise)
    return draws.replicate_means(table(shares, draws.depths))


def _draw_hypercube(
    cell_type: int, config: SimulationConfig, sizes: LibrarySizes, genes: int, rng: np.random.Generator
) -> _Draws:
    unit = DEPTH_STRATA * config.donors
    draws = unit * -(-config.truth_draws // unit)
    replicates = config.truth_replicates
    uniform = np.concatenate([_latin_hypercube(draws, LATENTS + genes, rng) for _ in range(replicates)])
    strata = np.concatenate([rng.permutation(draws) % DEPTH_STRATA for _ in range(replicates)])
    donor = np.concatenate([rng.permutation(draws) % config.donors for _ in range(replicates)])
    rows = np.full(draws * replicates, cell_type)
    shape = 1.0 / config.overdispersion
    return _Draws(
        cells=Cells(rows, donor, ndtri(uniform[:, :LATENTS])),
        noise=gammaincinv(shape, uniform[:, LATENTS:]) * config.overdispersion,
        depths=sizes.quantile(rows, (strata + 0.5) / DEPTH_STRATA),
        replicates=replicates,
    )


def _latin_hypercube(points: int, dimensions: int, rng: np.random.Generator) -> Array:
    """Points in the open unit cube (points, dimensions), one in each of `points` strata of every dimension."""
    strata = rng.permuted(np.tile(np.arange(points), (dimensions, 1)), axis=1).T
    return (strata + np.clip(rng.random(strata.shape), 1e-9, 1.0 - 1e-9)) / points
