"""What a simulated screen does to its regulators: knock-outs, knock-downs, drugs at doses, combinations."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lingshu_core.regulatory_network import Actions, Network
from lingshu_core.simulation_config import SimulationConfig

CONTROL = "control"
KNOCKOUT_PRODUCTION = 0.02
KNOCKDOWN_PRODUCTION = 0.25
DRUG_EFFICACY = 0.95

Kind = Literal["none", "genetic", "drug"]
Method = Literal["none", "knockout", "knockdown", "inhibitor", "activator"]


def hill(dose: float, ec50: float, coefficient: float) -> float:
    """Share of the target that a dose occupies.

    Parameters
    ----------
    dose, ec50
        Dose and the dose of half effect, in the same unit (micromolar here).
    coefficient
        Steepness.

    Returns
    -------
    float
        ``dose**h / (ec50**h + dose**h)``, between 0 and 1 [1]_.

    References
    ----------
    .. [1] A. V. Hill, J. Physiol. 40 (1910), iv-vii.
    """
    if dose <= 0:
        return 0.0
    return 1.0 / (1.0 + (ec50 / dose) ** coefficient)


@dataclasses.dataclass(frozen=True)
class Drug:
    """A drug with its targets (indices of regulators) and its dose response (`ec50` in micromolar)."""

    name: str
    targets: tuple[int, ...]
    method: Literal["inhibitor", "activator"]
    ec50: float
    hill_coefficient: float

    def occupancy(self, dose: float) -> float:
        """Share of the targets that `dose` occupies."""
        return hill(dose, self.ec50, self.hill_coefficient)


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """One label of the screen.

    Attributes
    ----------
    name
        The label; a combination's is ``A+B``.
    kind, method
        The columns ``perturbation_type`` and ``method``.
    targets
        Indices of the regulators acted on.
    doses
        The doses it is given at; ``(0.0,)`` for anything but a drug.
    planted
        Whether it lowers the programme by construction, at the doses where :meth:`is_effective` holds.
    drug
        The drug, if it is one.
    """

    name: str
    kind: Kind
    method: Method
    targets: tuple[int, ...]
    doses: tuple[float, ...]
    planted: bool
    drug: Drug | None = None

    def is_effective(self, dose: float) -> bool:
        """Whether most of the target is hit at `dose`; always so for genetic perturbations."""
        return self.drug is None or self.drug.occupancy(dose) > 0.5

    def act(self, actions: Actions, rows: slice | NDArray[np.intp], dose: float) -> None:
        """Write what this perturbation does at `dose` into the given rows (cells) of `actions`."""
        for target in self.targets:
            if self.drug is not None:
                touched = actions.inhibition if self.method == "inhibitor" else actions.activation
                touched[rows, target] = DRUG_EFFICACY * self.drug.occupancy(dose)
            elif self.method == "knockout":
                actions.production[rows, target] = KNOCKOUT_PRODUCTION
            elif self.method == "knockdown":
                actions.production[rows, target] = KNOCKDOWN_PRODUCTION


@dataclasses.dataclass(frozen=True)
class Condition:
    """A perturbation at one dose in one cell type (an index)."""

    cell_type: int
    perturbation: Perturbation
    dose: float
    measured: bool

    def is_planted(self, network: Network) -> bool:
        """Whether this condition is a hit by construction: an effective one, where the programme depends on it."""
        return (
            self.perturbation.planted
            and self.perturbation.is_effective(self.dose)
            and any(network.drives_program(target, self.cell_type) for target in self.perturbation.targets)
        )


def control() -> Perturbation:
    """The label of the unperturbed cells."""
    return Perturbation(CONTROL, "none", "none", (), (0.0,), planted=False)


def draw_perturbations(config: SimulationConfig, network: Network, rng: np.random.Generator) -> list[Perturbation]:
    """Every label of the screen but the control, the planted ones among them.

    Parameters
    ----------
    config
        How many of each kind.
    network
        Names of the regulators, and which of them make up the programme's pathway.
    rng
        Source of random numbers.
    """
    knockdown_targets = network.pathway[1 : 1 + config.planted_knockdowns]
    knockout_targets = [target for target in network.pathway if target not in knockdown_targets]
    spare = [int(target) for target in rng.permutation(network.background)]
    others_out = spare[: config.knockouts - len(knockout_targets)]
    others_down = spare[len(others_out) :][: config.knockdowns - len(knockdown_targets)]
    singles = [
        *(_knockout(network, (target,)) for target in sorted([*knockout_targets, *others_out])),
        *(_knockdown(network, target) for target in sorted([*knockdown_targets, *others_down])),
    ]
    combinations = _draw_combinations(config, network, knockout_targets, others_out, rng)
    return [*singles, *_draw_drugs(config, network, rng), *combinations]


def lay_out(config: SimulationConfig, perturbations: list[Perturbation], rng: np.random.Generator) -> list[Condition]:
    """Every (cell type, perturbation, dose), with a share of the pairs of cell type and perturbation measured."""
    measured = _draw_measured(len(perturbations), config, rng)
    return [
        Condition(cell_type, perturbation, dose, measured=bool(measured[row, cell_type]))
        for cell_type in range(config.cell_types)
        for row, perturbation in enumerate(perturbations)
        for dose in perturbation.doses
    ]


def _draw_measured(perturbations: int, config: SimulationConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    measured = np.zeros((perturbations, config.cell_types), dtype=bool)
    measured[np.arange(perturbations), rng.integers(config.cell_types, size=perturbations)] = True
    missing = max(round(config.measured_share * measured.size) - perturbations, 0)
    left = np.flatnonzero(~measured)
    measured.flat[rng.choice(left, size=min(missing, left.size), replace=False)] = True
    return measured


def _knockout(network: Network, targets: tuple[int, ...]) -> Perturbation:
    planted = any(target in network.pathway for target in targets)
    return Perturbation(_label(network, targets), "genetic", "knockout", targets, (0.0,), planted)


def _knockdown(network: Network, target: int) -> Perturbation:
    planted = target in network.pathway
    return Perturbation(_label(network, (target,)), "genetic", "knockdown", (target,), (0.0,), planted)


def _label(network: Network, targets: tuple[int, ...]) -> str:
    return "+".join(network.gene_names[target] for target in targets)


def _draw_combinations(
    config: SimulationConfig,
    network: Network,
    planted: list[int],
    others: list[int],
    rng: np.random.Generator,
) -> list[Perturbation]:
    # A partner that pulls weakly on the programme could lift a planted pair out of the hits: inert ones come first.
    inert = [target for target in others if target not in network.decoys]
    steady = [target for target in planted if target != network.receptor] or planted
    wanted = config.planted_combinations
    hits = _draw_pairs(list(itertools.product(steady, inert)), wanted, rng)
    if len(hits) < wanted:
        left = [pair for pair in itertools.product(planted, others) if pair not in hits]
        hits += _draw_pairs(left, wanted - len(hits), rng)
    rest = _draw_pairs(list(itertools.combinations(others, 2)), config.combinations - wanted, rng)
    ordered = sorted((min(pair), max(pair)) for pair in [*hits, *rest])
    return [_knockout(network, pair) for pair in ordered]


def _draw_pairs(pairs: list[tuple[int, int]], wanted: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    chosen = rng.permutation(len(pairs))[:wanted]
    return [pairs[int(index)] for index in chosen]


def _draw_drugs(config: SimulationConfig, network: Network, rng: np.random.Generator) -> list[Perturbation]:
    # The number in a drug's name must not tell whether it was planted.
    names = [f"DRUG{number:02d}" for number in rng.permutation(config.drugs) + 1]
    drugs = [
        _draw_planted_drug(name, config, network, rng)
        if order < config.planted_drugs
        else _draw_other_drug(name, order - config.planted_drugs, config, network, rng)
        for order, name in enumerate(names)
    ]
    perturbations = [
        Perturbation(drug.name, "drug", drug.method, drug.targets, config.doses, order < config.planted_drugs, drug)
        for order, drug in enumerate(drugs)
    ]
    return sorted(perturbations, key=lambda perturbation: perturbation.name)


def _draw_planted_drug(name: str, config: SimulationConfig, network: Network, rng: np.random.Generator) -> Drug:
    """An inhibitor in the pathway, half effective between two neighbouring doses, with an off-target."""
    steady = [target for target in network.pathway if target != network.receptor] or list(network.pathway)
    inert = [target for target in network.background if target not in network.decoys]
    off_target = [int(rng.choice(inert))] if inert else []
    targets = (int(rng.choice(steady)), *off_target)
    step = int(rng.integers(max(len(config.doses) - 1, 1)))
    above = config.doses[min(step + 1, len(config.doses) - 1)]
    ratio = config.doses[step + 1] / config.doses[step] if len(config.doses) > 1 else 10.0
    ec50 = above / math.sqrt(ratio) * 10 ** rng.uniform(-0.05, 0.05)
    return Drug(name, targets, "inhibitor", ec50, float(rng.uniform(1.9, 2.4)))


def _draw_other_drug(
    name: str, order: int, config: SimulationConfig, network: Network, rng: np.random.Generator
) -> Drug:
    """No hit: too weak an inhibitor in the pathway, an activator in it, and drugs of other targets."""
    top = config.doses[-1]
    coefficient = float(rng.uniform(1.0, 2.0))
    if order == 0:
        return Drug(name, (int(rng.choice(network.pathway)),), "inhibitor", top * 30.0, coefficient)
    ec50 = float(rng.choice(config.doses)) * 10 ** rng.uniform(-0.5, 0.5)
    if order == 1:
        return Drug(name, (int(rng.choice(network.pathway)),), "activator", ec50, coefficient)
    target = int(rng.choice(network.background))
    return Drug(name, (target,), "inhibitor" if order % 2 == 0 else "activator", ec50, coefficient)
