"""Random regulatory networks in which the answer is planted.

A *programme* of target genes hangs on a *pathway*: a receptor that the cell type's signal feeds, a chain of regulators,
and one or two factors that act on the programme's genes. In one cell type a second signal enters below the receptor,
which is then dispensable there. Regulators outside the pathway form a random cascade; a few of them, the *decoys*, pull
weakly on the programme, up or down.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lingshu_core.regulatory_network import LATENTS, Actions, Array, Network, steady_state
from lingshu_core.simulation_config import SimulationConfig

PATHWAY_BASAL = -2.4
PATHWAY_WEIGHT = 5.0
PROGRAM_BASAL = -2.5
BACKGROUND_BASAL = -1.5
REFERENCE_DEPTH = 2_000.0
PROGRAM_COUNT, REGULATOR_COUNT, RARE_COUNT = 0.9, 0.6, 0.09
"""Median counts of genes of each kind, in a cell of `REFERENCE_DEPTH` UMIs of a screen of a few hundred genes."""

ABUNDANT_SHARE = 0.06
DECOY_SHARE = 0.3
DECOY_WEIGHT = 0.12
"""Pull of a decoy on the programme, as a share of the pathway's."""


def draw_network(config: SimulationConfig, rng: np.random.Generator) -> Network:
    """A random network with a pathway, a programme and decoys, as `config` asks.

    Parameters
    ----------
    config
        Sizes and strengths.
    rng
        Source of random numbers.
    """
    order = [int(regulator) for regulator in rng.permutation(config.regulators)]
    pathway = tuple(order[: config.pathway_regulators])
    background = tuple(order[config.pathway_regulators :])
    decoys = background[: round(DECOY_SHARE * len(background))]
    targets = config.genes - config.regulators
    program, abundant = _draw_roles(config, rng)
    driven = np.arange(config.cell_types) < config.cell_types - config.quiet_cell_types
    network = Network(
        gene_names=_gene_names(config.regulators, targets),
        pathway=pathway,
        decoys=decoys,
        program=program + config.regulators,
        driven=driven,
        bypassed=_draw_bypass(len(pathway), driven, rng),
        regulator_weights=_draw_regulator_weights(pathway, background, decoys, rng),
        target_weights=_draw_target_weights(config, pathway, decoys, (program, abundant), rng),
        regulator_basal=_draw_regulator_basal(config, rng),
        target_basal=_draw_target_basal(config, program, abundant, rng),
        regulator_loadings=_draw_loadings(config.regulators, 0.15, rng),
        target_loadings=_draw_loadings(targets, 0.35, rng),
        scale=np.ones(config.genes),
    )
    _wire_signals(network, rng)
    return dataclasses.replace(network, scale=_draw_scale(config, network, abundant + config.regulators, rng))


def _draw_roles(config: SimulationConfig, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw which targets make up the programme and which are abundant, as sorted indices among the targets."""
    order = rng.permutation(config.genes - config.regulators)
    abundant = max(round(ABUNDANT_SHARE * len(order)), 1)
    program, rest = order[: config.program_genes], order[config.program_genes :]
    return np.sort(program), np.sort(rest[:abundant])


def _gene_names(regulators: int, targets: int) -> tuple[str, ...]:
    width = len(str(targets))
    digits = max(len(str(regulators)), 2)
    return (
        *(f"REG{number:0{digits}d}" for number in range(1, regulators + 1)),
        *(f"GENE{number:0{width}d}" for number in range(1, targets + 1)),
    )


def _factors(pathway: tuple[int, ...]) -> tuple[int, ...]:
    """The pathway's last regulators, which act on the programme's genes."""
    return pathway[-2:] if len(pathway) > 2 else pathway[-1:]


def _below_receptor(pathway: tuple[int, ...]) -> tuple[int, ...]:
    """The regulators that the receptor drives: the next in the chain, or the factors where there is no chain."""
    chain = pathway[: -len(_factors(pathway))]
    return chain[1:2] or _factors(pathway)


def _draw_bypass(pathway: int, driven: NDArray[np.bool_], rng: np.random.Generator) -> int | None:
    # One driven cell type has to be left in which the receptor matters, else its knock-out would be no hit at all.
    if pathway < 3 or driven.sum() < 2:
        return None
    return int(rng.choice(np.flatnonzero(driven)))


def _draw_regulator_weights(
    pathway: tuple[int, ...], background: tuple[int, ...], decoys: tuple[int, ...], rng: np.random.Generator
) -> Array:
    size = len(pathway) + len(background)
    weights = np.zeros((size, size))
    factors = _factors(pathway)
    chain = pathway[: -len(factors)]
    for source, target in itertools.pairwise(chain):
        weights[target, source] = PATHWAY_WEIGHT
    for factor in factors:
        if chain:
            weights[factor, chain[-1]] = PATHWAY_WEIGHT
    # Decoys get no inputs from the cascade, so that nothing adds up through them to the strength of a hit.
    driven = [regulator for regulator in background if regulator not in decoys]
    block = np.ix_(driven, [*background, *pathway])
    edges = rng.random(weights[block].shape) < 2.0 / size
    weights[block] = np.where(edges, rng.choice([-1.2, 1.2], size=edges.shape), 0.0)
    np.fill_diagonal(weights, 0.0)
    return weights


def _draw_target_weights(
    config: SimulationConfig,
    pathway: tuple[int, ...],
    decoys: tuple[int, ...],
    roles: tuple[NDArray[np.intp], NDArray[np.intp]],
    rng: np.random.Generator,
) -> Array:
    program, abundant = roles
    shape = (config.genes - config.regulators, config.regulators)
    edges = rng.random(shape) < 3.0 / config.regulators
    weights = np.where(edges, rng.normal(0.0, 1.2, size=shape), 0.0)
    weights[program] = 0.0
    # Housekeeping genes are nobody's targets: if one of them doubled, the shares of all others would fall and every
    # programme with them.
    weights[abundant] = 0.0
    # Every gene of the programme needs both factors, in different parts.
    factors = _factors(pathway)
    pull = config.program_strength * rng.uniform(0.7, 1.0, size=len(program))
    parts = rng.uniform(0.42, 0.58, size=len(program))
    split = np.stack([parts, 1.0 - parts], axis=1) if len(factors) == 2 else np.ones((len(program), 1))
    weights[program[:, None], list(factors)] = pull[:, None] * split
    signs = rng.choice([-1.0, 1.0], size=len(decoys))
    strengths = DECOY_WEIGHT * config.program_strength * rng.uniform(0.5, 1.0, size=len(decoys))
    weights[program[:, None], list(decoys)] = signs * strengths
    return weights


def _draw_regulator_basal(config: SimulationConfig, rng: np.random.Generator) -> Array:
    common = rng.normal(0.5, 0.8, size=config.regulators)
    by_type = rng.normal(0.0, 0.6, size=(config.cell_types, 1, config.regulators))
    by_donor = rng.normal(0.0, 0.1, size=(1, config.donors, config.regulators))
    return common + by_type + by_donor


def _draw_target_basal(
    config: SimulationConfig,
    program: NDArray[np.intp],
    abundant: NDArray[np.intp],
    rng: np.random.Generator,
) -> Array:
    targets = config.genes - config.regulators
    common = rng.normal(BACKGROUND_BASAL, 0.5, size=targets)
    common[program] = PROGRAM_BASAL
    by_type = rng.normal(0.0, 0.4, size=(config.cell_types, 1, targets))
    markers = rng.random((config.cell_types, 1, targets)) < 0.06
    by_type += np.where(markers, 2.0, 0.0)
    for steady in (program, abundant):
        by_type[:, :, steady] = rng.normal(0.0, 0.15, size=(config.cell_types, 1, len(steady)))
    by_donor = rng.normal(0.0, 0.1, size=(1, config.donors, targets))
    return common + by_type + by_donor


def _draw_loadings(size: int, spread: float, rng: np.random.Generator) -> Array:
    loaded = rng.random((LATENTS, size)) < 0.4
    return np.where(loaded, rng.normal(0.0, spread, size=(LATENTS, size)), 0.0)


def _wire_signals(network: Network, rng: np.random.Generator) -> None:
    """Set the pathway's inputs: the signal at the receptor, strongest in the first cell type, and the bypass."""
    cell_types, donors, _ = network.regulator_basal.shape
    pathway = list(network.pathway)
    network.regulator_basal[:, :, pathway] = PATHWAY_BASAL
    signal = np.where(network.driven, np.linspace(2.0, 1.0, cell_types), -3.0)
    network.regulator_basal[:, :, pathway[0]] = signal[:, None] + rng.normal(0.0, 0.1, size=(1, donors))
    network.regulator_loadings[:, pathway] = 0.0
    network.regulator_loadings[0, pathway[0]] = 0.5
    if network.bypassed is not None:
        network.regulator_basal[network.bypassed][:, list(_below_receptor(network.pathway))] += PATHWAY_WEIGHT


def _draw_scale(
    config: SimulationConfig, network: Network, abundant: NDArray[np.intp], rng: np.random.Generator
) -> Array:
    """Greatest productions: a few abundant genes hold most transcripts, most genes are rare.

    Regulators and programme are drawn apart, since a screen of genes that are never seen would test nothing. What the
    others leave goes to the abundant genes, as ribosomal and mitochondrial genes take it in real cells.
    """
    counts = np.exp(rng.normal(np.log(RARE_COUNT), 1.4, size=config.genes))
    counts[: config.regulators] = np.exp(rng.normal(np.log(REGULATOR_COUNT), 0.4, size=config.regulators))
    counts[network.program] = np.exp(rng.normal(np.log(PROGRAM_COUNT), 0.5, size=len(network.program)))
    rest = max(REFERENCE_DEPTH - np.delete(counts, abundant).sum(), 0.5 * REFERENCE_DEPTH)
    weights = np.exp(rng.normal(0.0, 0.6, size=len(abundant)))
    counts[abundant] = rest * weights / weights.sum()
    return counts / counts.sum() / _mean_control_shares(network)


def _mean_control_shares(network: Network) -> Array:
    """Unscaled production of each gene (genes,), meaned over unperturbed cell types and donors."""
    cell_types, donors, regulators = network.regulator_basal.shape
    # (cell types, donors, regulators) -> (cell types * donors, regulators)
    basal = network.regulator_basal.reshape(-1, regulators)
    state = steady_state(network.regulator_weights, basal, Actions.none(len(basal), regulators))
    inputs = network.target_basal.reshape(cell_types * donors, -1)
    targets = expit(inputs + state @ network.target_weights.T)
    return np.hstack([state, targets]).mean(axis=0)
