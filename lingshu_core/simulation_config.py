"""The numbers that describe one simulated screen, checked before anything is drawn."""

from __future__ import annotations

import dataclasses
import itertools
import math

from lingshu_core.errors import SimulationError

MAX_MEDIAN_DEPTH = 20_000.0
"""Above this, a deep cell's counts no longer fit ``uint16``."""

MIN_DOSE_RATIO = 3.0
"""Closer doses would leave a planted drug half active at one of them, neither hit nor not."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Size and difficulty of a simulated perturbation screen.

    Attributes
    ----------
    genes
        Genes in all: the regulators' transcripts, the programme and the rest.
    regulators
        Regulators, named ``REG01`` onwards; their transcripts are the first genes.
    program_genes
        Target genes of the programme that the hits push down.
    cell_types, donors, batches
        Contexts, donors in each, and technical batches (drawn at random for each cell, without any effect).
    quiet_cell_types
        How many of the cell types, the last ones, do not drive the programme and so have no hits.
    knockouts, knockdowns
        Regulators knocked out and, others, knocked down: a label means one thing.
    drugs
        Drugs, each given at every one of `doses`.
    doses
        Doses in micromolar, rising, each at least three times the one before.
    combinations
        Double knock-outs of regulators that are knocked out singly too.
    planted_knockouts, planted_knockdowns, planted_drugs, planted_combinations
        How many of each lower the programme by construction.
    program_strength
        Largest pull of the pathway on a programme gene, in units of the logistic input.
    hit_margin
        Least distance between the true scores of the weakest hit and the strongest other condition,
        in ``log1p counts per 10k``.
    control_cells
        Control cells for each cell type and donor.
    cells_per_condition
        Cells for each measured (cell type, perturbation, dose), spread evenly over the donors.
    measured_share
        Share of the (cell type, perturbation) pairs that have cells; the others are in the truth only. Every
        perturbation is measured in one cell type at least.
    median_depth
        Median library size, in UMIs for a cell.
    depth_sigma
        Standard deviation of the logarithm of the library size.
    overdispersion
        Gamma noise on top of the sampling: a gene's variance is about ``mean + overdispersion * mean**2``.
    truth_draws
        Latent cell states, for each condition and replicate, over which the true effects are averaged (rounded up
        to fill the depth strata and donors evenly).
    truth_replicates
        Independent replicates of these averages; their spread is the standard error of the truth.
    seed
        Root of all random numbers.

    Raises
    ------
    SimulationError
        If a number is out of range or the numbers do not fit together.
    """

    genes: int = 400
    regulators: int = 36
    program_genes: int = 36
    cell_types: int = 3
    quiet_cell_types: int = 0
    donors: int = 2
    batches: int = 2
    knockouts: int = 24
    knockdowns: int = 4
    drugs: int = 6
    doses: tuple[float, ...] = (0.1, 1.0, 10.0)
    combinations: int = 6
    planted_knockouts: int = 4
    planted_knockdowns: int = 1
    planted_drugs: int = 2
    planted_combinations: int = 2
    program_strength: float = 2.4
    hit_margin: float = 0.1
    control_cells: int = 250
    cells_per_condition: int = 45
    measured_share: float = 0.75
    median_depth: float = 2_000.0
    depth_sigma: float = 0.35
    overdispersion: float = 0.15
    truth_draws: int = 96
    truth_replicates: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_ranges(self)
        _check_genes(self)
        _check_planted(self)
        _check_perturbations(self)
        _check_doses(self.doses)

    @property
    def pathway_regulators(self) -> int:
        """Regulators upstream of the programme: those with a planted knock-out or knock-down."""
        return self.planted_knockouts + self.planted_knockdowns

    @property
    def planted_hits(self) -> int:
        """Perturbations (labels, not conditions) that are hits in some cell type at some dose."""
        return self.pathway_regulators + self.planted_drugs + self.planted_combinations


def _require(holds: bool, field: str, value: object, allowed: str) -> None:
    if not holds:
        raise SimulationError(f"SimulationConfig.{field} is {value!r}; it has to be {allowed}")


def _check_counts(config: SimulationConfig) -> None:
    least = {
        "genes": 1,
        "regulators": 1,
        "program_genes": 1,
        "cell_types": 1,
        "quiet_cell_types": 0,
        "donors": 1,
        "batches": 1,
        "knockouts": 1,
        "knockdowns": 0,
        "drugs": 0,
        "combinations": 0,
        "planted_knockouts": 1,
        "planted_knockdowns": 0,
        "planted_drugs": 0,
        "planted_combinations": 0,
        "control_cells": 1,
        "cells_per_condition": 1,
        "truth_draws": 1,
        "truth_replicates": 2,
        "seed": 0,
    }
    for field, minimum in least.items():
        value = getattr(config, field)
        _require(type(value) is int and value >= minimum, field, value, f"a whole number of at least {minimum}")


def _check_ranges(config: SimulationConfig) -> None:
    ranges = {
        "program_strength": (0.0, 20.0),
        "hit_margin": (0.0, 10.0),
        "measured_share": (0.0, 1.0),
        "median_depth": (100.0, MAX_MEDIAN_DEPTH),
        "depth_sigma": (0.0, 1.0),
        "overdispersion": (0.0, 5.0),
    }
    for field, (low, high) in ranges.items():
        value = getattr(config, field)
        # NaN fails both comparisons, so it is refused here too.
        holds = isinstance(value, int | float) and low < value <= high
        _require(holds, field, value, f"a number above {low:g} and at most {high:g}")
    _require(
        config.measured_share * config.cell_types >= 1 - 1e-9,
        "measured_share",
        config.measured_share,
        f"at least 1/cell_types = {1 / config.cell_types:.3f}, so that every perturbation is measured somewhere",
    )
    _require(
        config.quiet_cell_types < config.cell_types,
        "quiet_cell_types",
        config.quiet_cell_types,
        f"below cell_types ({config.cell_types}): some cell type has to drive the programme",
    )


def _check_genes(config: SimulationConfig) -> None:
    needed = config.regulators + config.program_genes + 1
    _require(
        config.genes >= needed,
        "genes",
        config.genes,
        f"at least {needed}: the regulators, the programme and one more",
    )
    _require(
        config.regulators >= config.knockouts + config.knockdowns,
        "regulators",
        config.regulators,
        f"at least knockouts + knockdowns = {config.knockouts + config.knockdowns}, "
        "since no regulator is both knocked out and knocked down",
    )


def _check_perturbations(config: SimulationConfig) -> None:
    background = config.knockouts - config.planted_knockouts
    most = math.comb(max(background, 0), 2)
    others = config.combinations - config.planted_combinations
    _require(
        others <= most,
        "combinations",
        config.combinations,
        f"at most {most + config.planted_combinations}: {background} knock-outs outside the pathway make {most} pairs",
    )
    pairs = config.planted_knockouts * max(background, 0)
    _require(
        config.planted_combinations <= pairs,
        "planted_combinations",
        config.planted_combinations,
        f"at most {pairs}: planted knock-outs times the other knock-outs",
    )


def _check_planted(config: SimulationConfig) -> None:
    for kind in ("knockouts", "knockdowns", "drugs", "combinations"):
        planted = getattr(config, f"planted_{kind}")
        most = getattr(config, kind)
        _require(planted <= most, f"planted_{kind}", planted, f"at most {kind} ({most})")
    background = config.regulators - config.pathway_regulators
    _require(
        background >= 1 or config.drugs == 0,
        "regulators",
        config.regulators,
        f"above {config.pathway_regulators} where there are drugs: some of them have targets outside the pathway",
    )


def _check_doses(doses: tuple[float, ...]) -> None:
    positive = isinstance(doses, tuple) and all(isinstance(dose, int | float) and 0 < dose < math.inf for dose in doses)
    _require(positive and len(doses) > 0, "doses", doses, "a tuple of positive numbers, in micromolar")
    rising = all(high >= MIN_DOSE_RATIO * low * (1 - 1e-9) for low, high in itertools.pairwise(doses))
    _require(rising, "doses", doses, f"rising, each at least {MIN_DOSE_RATIO:g} times the one before")
