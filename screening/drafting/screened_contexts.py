"""Which contexts a first screen goes through: those in which its null has cells to speak for.

A screen predicts every pseudo-perturbation in every context. Where a file has many small contexts and few
perturbations, nearly all of that is null, and in a context with a few dozen control cells no cell stands behind most
of it. Such a screen pools: a factor that is left out is averaged over, and the null with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from campaigns.grid import MIN_CONTROL_CELLS
from lingshu_core.pseudo_perturbations import MOST_OF_CONTROLS


@dataclass(frozen=True)
class ScreenedContexts:
    """The contexts of a first screen.

    Parameters
    ----------
    factors
        Roles that tell contexts apart in the screen; those of the training that are missing are averaged over.
    values
        Of the only factor, those that are screened; empty for all that can be.
    why
        Why these and not all contexts; empty where it is all.
    """

    factors: tuple[str, ...]
    values: tuple[str, ...] = ()
    why: str = ""

    def decided(self, factors: tuple[str, ...]) -> str:
        """Say what was done about the contexts that these factors of the training make up."""
        averaged = " and ".join(role for role in factors if role not in self.factors)
        some = f"{len(self.values):,} of the values of {self.factors[0]} are screened" if self.values else ""
        return " and ".join(filter(None, (averaged and f"the screen averages over {averaged}", some)))


def choose_screened(
    obs: pd.DataFrame, factors: tuple[str, ...], control: str, null: Mapping[str, object]
) -> ScreenedContexts:
    """Leave out what would be mostly null work without cells behind it.

    Parameters
    ----------
    obs
        A column a role, checked.
    factors
        Roles that make up a context in training.
    control
        Label of the control cells.
    null
        The ``pseudo_perturbations`` block; empty for none.
    """
    controls = obs[obs["perturbation"] == control]
    groups = _groups(controls, null)
    perturbations = obs["perturbation"].nunique() - 1
    whole = _usable(controls, factors)
    if not factors or groups <= perturbations or not _is_sparse(whole, groups):
        return ScreenedContexts(factors)
    kept = factors
    while len(kept) > 1 and _is_sparse(_usable(controls, kept), groups):
        kept = kept[:-1]
    why = _why(whole, groups, perturbations)
    pooled = _usable(controls, kept)
    if not _is_sparse(pooled, groups):
        return ScreenedContexts(kept, (), why)
    # Averaging is at its end: of the values of one factor, those that have the cells.
    enough = tuple(map(str, pooled[pooled >= _least(groups)].index))
    return ScreenedContexts(kept, enough, why)


def _groups(controls: pd.DataFrame, null: Mapping[str, object]) -> int:
    """Return how many pseudo-perturbations there will be, about."""
    by, groups = null.get("by"), null.get("groups")
    if isinstance(by, list):
        return int(controls[by].drop_duplicates().shape[0])
    return groups if isinstance(groups, int) else 0


def _usable(controls: pd.DataFrame, factors: tuple[str, ...]) -> pd.Series:
    """Return the control cells of each context that can be screened."""
    if not factors:
        return pd.Series(dtype=int)
    sizes = controls.groupby(list(factors) if len(factors) > 1 else factors[0], observed=True).size()
    return sizes[sizes >= MIN_CONTROL_CELLS]


def _least(groups: int) -> int:
    """Return the controls with which each group has a cell: a null takes so much of them at most."""
    return int(groups / MOST_OF_CONTROLS)


def _is_sparse(controls: pd.Series, groups: int) -> bool:
    return bool((controls < _least(groups)).mean() > 0.5) if len(controls) else False


def _why(controls: pd.Series, groups: int, perturbations: int) -> str:
    few = int((controls < _least(groups)).sum())
    share = groups / (groups + perturbations + 1)
    return (
        f"of {len(controls):,} contexts that could be screened, {few:,} have fewer than {_least(groups)} control cells,"
        f" so that some of the {groups} groups of the null have no cell there, and {share:.0%} of the work would be"
        " null"
    )
