"""Factors that go with the perturbation, so that their effects can't be told apart.

Where every treated cell is of one batch and every control of another, a model that predicts the batch predicts the
perturbation. Each column of labels is compared with the perturbation, with whether a cell was perturbed at all, and
with how and of what type; and columns with one another, because a cell line that was perturbed by one method only can't
be compared with a line that was perturbed by another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from lingshu_core.split_table import listed

PERTURBED = "perturbed"
"""Name under which 'control or not' is compared."""
LEAST = 0.9
_NUMBERS = ("dose", "depth")
_DESCRIBE = ("perturbation_type", "method")
_BY_DESIGN = re.compile(r"guide|grna|construct", re.IGNORECASE)


@dataclass(frozen=True)
class Confounding:
    """Two columns that go together.

    Parameters
    ----------
    factor, other
        Their names; `other` is ``perturbation``, ``perturbed``, ``method``, ``perturbation_type`` or a second factor.
    cramers_v
        Cramér's V, corrected for bias: 0 where they are independent, 1 where one gives the other.
    exact
        Whether `factor` determines `other`: each value of it has one value of the other only.
    mutual
        Whether `other` determines `factor` as well.
    uncovered
        Perturbations of which no cell has a value of the factor that control cells have too.
    uncovered_cells
        Perturbed cells whose value of the factor no control cell has.
    perturbed_cells
        All perturbed cells.
    text
        All of that in a line.
    """

    factor: str
    other: str
    cramers_v: float
    exact: bool
    mutual: bool
    uncovered: tuple[str, ...]
    uncovered_cells: int
    perturbed_cells: int
    text: str

    @property
    def harmful(self) -> bool:
        """Whether effects of perturbations can't be told from those of the factor: some have no control beside them."""
        return bool(self.uncovered)


def find_confounding(
    obs: pd.DataFrame,
    *,
    control: str,
    perturbation: str = "perturbation",
    factors: Sequence[str] | None = None,
    within: Sequence[str] = (),
    least: float = LEAST,
) -> tuple[Confounding, ...]:
    """Find factors that go with the perturbation or with one another, the worst first.

    Parameters
    ----------
    obs
        Labels of cells, a column a role; ``Cells.obs`` or any other table.
    control
        Label of the control cells.
    perturbation
        Column with the perturbation.
    factors
        Columns to look at; None for all that hold labels rather than numbers, but guides, which tell the target by
        design. A column with one value, or with one for every second cell, has nothing to say.
    within
        Columns of the context, in which effects are measured: a control beside a perturbed cell has its context too.
    least
        Cramér's V from which columns count as going together where neither determines the other.

    Returns
    -------
    tuple
        At most one finding for each pair of columns; columns that say the same as an earlier one are compared with that
        one only.
    """
    labels = obs[perturbation].astype(str)
    perturbed = labels != control
    if not perturbed.any() or perturbed.all():
        return ()
    columns = _factors(obs, perturbation, factors)
    described = {name: columns.pop(name)[perturbed] for name in _DESCRIBE if name in columns}
    found: list[Confounding] = []
    synonyms: set[str] = set()
    for name, values in columns.items():
        if name in synonyms:
            continue
        pairs = [
            _compared(values, columns[other], least) for other in columns if other > name and other not in synonyms
        ]
        synonyms |= {pair.other for pair in pairs if pair is not None and pair.mutual}
        pairs += [_compared(values[perturbed], other, least) for other in described.values()]
        found += [pair for pair in pairs if pair is not None]
        found += _with_perturbation(values, labels, perturbed, _places(obs, within, name), least)
    return tuple(sorted(found, key=lambda one: (not one.harmful, not one.exact, -one.cramers_v, one.factor)))


def _factors(obs: pd.DataFrame, perturbation: str, factors: Sequence[str] | None) -> dict[str, pd.Series]:
    """Return the columns that can have something to say, as text, in alphabetical order."""
    named = [column for column in obs if column not in (perturbation, *_NUMBERS) and not _BY_DESIGN.search(column)]
    columns = {name: obs[name].astype(str) for name in sorted(named if factors is None else factors)}
    return {name: values for name, values in columns.items() if 1 < values.nunique() <= len(values) // 2}


def _places(obs: pd.DataFrame, within: Sequence[str], factor: str) -> pd.Series:
    """Return for each cell the number of its context and value of the factor, within which effects are measured."""
    return obs.groupby([*(role for role in within if role != factor), factor], observed=True, sort=False).ngroup()


def _with_perturbation(
    values: pd.Series, labels: pd.Series, perturbed: pd.Series, places: pd.Series, least: float
) -> list[Confounding]:
    """Compare a factor with the perturbation; nothing more is said where it gives away whether there is any."""
    covered = places.isin(places[~perturbed].unique())
    uncovered = tuple(sorted(set(labels[perturbed]).difference(labels[perturbed & covered])))
    missing = int((perturbed & ~covered).sum())
    is_perturbed = perturbed.map({True: "yes", False: "no"}).rename(PERTURBED)
    found = _compared(values, is_perturbed, least, always=bool(uncovered)) or _compared(
        values[perturbed], labels[perturbed], least
    )
    if found is None:
        return []
    text = found.text
    if uncovered:
        text += (
            f": no cell of {listed(uncovered, 5)} has a control of the same {values.name} beside it, {missing:,} cells"
            " in all, so effects of the two can't be told apart"
        )
    return [
        replace(found, uncovered=uncovered, uncovered_cells=missing, perturbed_cells=int(perturbed.sum()), text=text)
    ]


def _compared(values: pd.Series, theirs: pd.Series, least: float, *, always: bool = False) -> Confounding | None:
    """Compare two columns; None where they don't go together."""
    counts = pd.crosstab(values, theirs).to_numpy()
    if min(counts.shape) < 2:
        return None
    # A value of one column that has one value of the other only determines it.
    forward, backward = (bool((np.count_nonzero(counts, axis=axis) == 1).all()) for axis in (1, 0))
    strength = cramers_v(counts)
    if not (forward or backward or strength >= least or always):
        return None
    factor, other = str(values.name), str(theirs.name)
    what = "whether a cell is perturbed" if other == PERTURBED else repr(other)
    how = {
        (True, True): f"{factor!r} and {what} determine one another",
        (True, False): f"{factor!r} determines {what}",
        (False, True): f"{what} determines {factor!r}",
        (False, False): f"{factor!r} goes with {what}",
    }[forward, backward]
    text = f"{how} (Cramér's V {strength:.2f})"
    return Confounding(factor, other, strength, forward, forward and backward, (), 0, 0, text)


def cramers_v(counts: npt.NDArray[np.integer]) -> float:
    """Return Cramér's V of a table of counts, corrected for its bias (Bergsma 2013, doi 10.1016/j.jkss.2012.10.002).

    Parameters
    ----------
    counts
        (values of one column, values of the other); no row or column is empty.

    Returns
    -------
    float
        In [0, 1]; without the correction, columns of many values seem to go together by chance.
    """
    cells = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / cells
    phi = float((np.square(counts - expected) / expected).sum() / cells)
    rows, columns = counts.shape
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (cells - 1))
    rows_left = rows - (rows - 1) ** 2 / (cells - 1)
    columns_left = columns - (columns - 1) ** 2 / (cells - 1)
    most = min(rows_left, columns_left) - 1
    return float(min(1.0, np.sqrt(phi / most))) if most > 0 else 0.0
