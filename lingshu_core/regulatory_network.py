"""A gene regulatory network with steady states: regulators drive one another and the genes.

The share of a regulator's greatest production that is reached, ``x``, solves

    x_r = production_r * logistic(basal_r + sum_s W_rs * y_s),
    y_s = a_s + (1 - a_s) * x_s * (1 - i_s),

where a knock-out lowers ``production`` and a drug inhibits (``i``) or activates (``a``) what the regulator does
downstream, not its transcript. Genes are leaves: their production is the logistic of their own basal input and of the
``y`` of their regulators, so that it saturates at both ends. Degradation is one, so steady state is production.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lingshu_core.errors import SimulationError

Array = NDArray[np.float64]

LATENTS = 4
"""Latent activities of a cell, standard normal; the first acts on the pathway's signal."""

TOLERANCE = 1e-6
MAX_ITERATIONS = 500
DAMPING = 0.9


@dataclasses.dataclass
class Actions:
    """What is done to each regulator in each cell.

    Attributes
    ----------
    production, inhibition, activation
        Arrays (cells, regulators): factor on production, and the shares by which activity is inhibited and activated.
    """

    production: Array
    inhibition: Array
    activation: Array

    @classmethod
    def none(cls, cells: int, regulators: int) -> Actions:
        """Actions of unperturbed cells."""
        shape = (cells, regulators)
        return cls(np.ones(shape), np.zeros(shape), np.zeros(shape))

    def activity(self, state: Array) -> Array:
        """What regulators at `state` (cells, regulators) do downstream."""
        return self.activation + (1.0 - self.activation) * state * (1.0 - self.inhibition)


@dataclasses.dataclass(frozen=True)
class Cells:
    """The hidden side of cells: cell type and donor (indices, one for each cell) and latents (cells, `LATENTS`)."""

    cell_type: NDArray[np.intp]
    donor: NDArray[np.intp]
    latents: Array


@dataclasses.dataclass(frozen=True)
class Network:
    """Weights, inputs and roles of a regulatory network; regulators' transcripts are the first of its genes.

    Attributes
    ----------
    gene_names
        Names of all genes, regulators first.
    pathway
        Regulators upstream of the programme, receptor first, factors last.
    decoys
        Regulators outside the pathway with a weak weight on the programme.
    program
        Indices among all genes of the programme's genes.
    driven
        For each cell type, whether a signal drives the pathway (cell types,).
    bypassed
        The cell type that does not need the receptor, if there is one.
    regulator_weights, target_weights
        Arrays (regulators, regulators) and (targets, regulators), rows driven by columns.
    regulator_basal, target_basal
        Basal inputs (cell types, donors, regulators) and (cell types, donors, targets).
    regulator_loadings, target_loadings
        What a cell's latents add to the inputs (`LATENTS`, regulators) and (`LATENTS`, targets).
    scale
        Greatest production of each gene (genes,), in units in which the control's sum to about one.
    """

    gene_names: tuple[str, ...]
    pathway: tuple[int, ...]
    decoys: tuple[int, ...]
    program: NDArray[np.intp]
    driven: NDArray[np.bool_]
    bypassed: int | None
    regulator_weights: Array
    target_weights: Array
    regulator_basal: Array
    target_basal: Array
    regulator_loadings: Array
    target_loadings: Array
    scale: Array

    @property
    def regulators(self) -> int:
        """Number of regulators."""
        return len(self.regulator_weights)

    @property
    def receptor(self) -> int | None:
        """The pathway's first regulator, where one cell type can do without it."""
        return self.pathway[0] if self.bypassed is not None else None

    @property
    def background(self) -> list[int]:
        """Regulators outside the pathway."""
        return [regulator for regulator in range(self.regulators) if regulator not in self.pathway]

    @property
    def program_names(self) -> list[str]:
        """Names of the programme's genes."""
        return [self.gene_names[gene] for gene in self.program]

    def drives_program(self, regulator: int, cell_type: int) -> bool:
        """Whether the programme falls in `cell_type` when `regulator` is lost."""
        needed = regulator in self.pathway and bool(self.driven[cell_type])
        return needed and not (regulator == self.receptor and cell_type == self.bypassed)

    def shares(self, cells: Cells, actions: Actions) -> Array:
        """Each gene's expected share of a cell's transcripts at steady state.

        Parameters
        ----------
        cells
            Cell types, donors and latents.
        actions
            What is done to the regulators.

        Returns
        -------
        numpy.ndarray
            Array (cells, genes); rows sum to one.

        Raises
        ------
        SimulationError
            If some cell reaches no steady state.
        """
        basal = self.regulator_basal[cells.cell_type, cells.donor] + cells.latents @ self.regulator_loadings
        state = steady_state(self.regulator_weights, basal, actions)
        inputs = self.target_basal[cells.cell_type, cells.donor] + cells.latents @ self.target_loadings
        targets = expit(inputs + actions.activity(state) @ self.target_weights.T)
        production: Array = np.hstack([state, targets]) * self.scale
        production /= production.sum(axis=1, keepdims=True)
        return production


def steady_state(
    weights: Array,
    basal: Array,
    actions: Actions,
    *,
    damping: float = DAMPING,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Array:
    """Steady state of the regulators, by damped fixed-point iteration from the inactive state.

    Parameters
    ----------
    weights
        Array (regulators, regulators); row driven by column.
    basal
        Input of each regulator in each cell, from all but regulators (cells, regulators).
    actions
        What is done to each regulator in each cell.
    damping
        Share of the way to the next iterate that each step goes, above 0 and at most 1.
    tolerance
        Greatest distance between the state and the next iterate that counts as steady.
    max_iterations
        Steps after which the search is given up.

    Returns
    -------
    numpy.ndarray
        Array (cells, regulators), between 0 and 1.

    Raises
    ------
    SimulationError
        If the state still moves after `max_iterations`: the network oscillates.
    """
    state = np.zeros_like(basal)
    moved = np.inf
    for _ in range(max_iterations):
        step = actions.production * expit(basal + actions.activity(state) @ weights.T) - state
        moved = float(np.abs(step).max())
        if moved < tolerance:
            return state
        state += damping * step
    raise SimulationError(
        f"no steady state after {max_iterations} iterations: regulators still move by {moved:.2g} "
        f"(allowed: {tolerance:.2g}); weaken the weights (largest {np.abs(weights).max():.2g}) or lower the damping "
        f"({damping:g})"
    )
