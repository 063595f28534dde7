"""The on-target check: does a genetic perturbation change its own genes the way its method ought to?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from campaigns.conditions import Perturbation, split_method
from screening.deciding.hits import INTERVAL

Array = npt.NDArray[np.float64]
ACTIVATES = "CRISPRa"
AS_EXPECTED, AGAINST, UNCLEAR, NOT_THERE = "as expected", "against expectation", "unclear", "not in the panel"


@dataclass(frozen=True)
class OwnTargets:
    """What became of the own targets, in log1p counts per 10k.

    Attributes
    ----------
    verdict
        As the column ``on_target``: empty if the perturbation is not genetic.
    low, high
        Ends of the 90 % Monte Carlo interval of their mean effect; None where it isn't known.
    control
        Their mean in predicted controls.
    """

    verdict: str
    low: float | None = None
    high: float | None = None
    control: float | None = None


def monte_carlo_interval(effect: Array, error: Array, shards: int) -> tuple[Array, Array]:
    """Return the ends of the 90 % interval of effects, from errors over so many shards (Student t)."""
    margin = stats.t.ppf(0.5 + INTERVAL / 2, max(shards - 1, 1)) * error
    return effect - margin, effect + margin


def expected_way(perturbation: Perturbation, methods: Mapping[str, str]) -> int | None:
    """Return which way the own targets ought to go: −1, 1 after CRISPRa; None if that is not known.

    Parameters
    ----------
    perturbation
        Of a condition.
    methods
        Single genetic perturbation → method, where the training data name it. Those without count as knock-outs.
    """
    if perturbation.type != "genetic":
        return None
    used = {methods.get(part.name) or split_method(part.name)[1] for part in perturbation.parts}
    if ACTIVATES not in used:
        return -1
    return 1 if used == {ACTIVATES} else None


def check_own_targets(
    perturbation: Perturbation,
    targets: npt.NDArray[np.int64],
    layers: Mapping[str, npt.NDArray[np.float32]],
    shards: int,
    methods: Mapping[str, str],
) -> OwnTargets:
    """Check the own targets of a condition.

    Parameters
    ----------
    perturbation
        Of the condition.
    targets
        Its own genes, as positions in the panel.
    layers
        ``effect``, ``effect_se`` and ``control_mean`` of the condition, (genes,) each; empty where they weren't kept.
    shards
        Behind the errors.
    methods
        As in :func:`expected_way`.
    """
    if perturbation.type != "genetic":
        return OwnTargets("")
    if not len(targets):
        return OwnTargets(NOT_THERE)
    if not layers:
        return OwnTargets(UNCLEAR)
    # Errors of the genes come from the same shards, and add up at worst.
    mean, error, control = (
        layers[name][targets].astype(np.float64).mean(keepdims=True) for name in ("effect", "effect_se", "control_mean")
    )
    low, high = (float(end[0]) for end in monte_carlo_interval(mean, error, shards))
    return OwnTargets(_verdict(low, high, expected_way(perturbation, methods)), low, high, float(control[0]))


def _verdict(low: float, high: float, way: int | None) -> str:
    if way is None or low <= 0 <= high:
        return UNCLEAR
    return AS_EXPECTED if way * low > 0 else AGAINST
