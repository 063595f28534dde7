"""Factors of the data that can't be told from the perturbation: what ``lingshu doctor`` and an evaluation warn of.

All columns of ``obs`` with few values are looked at, also those that ``data.columns`` doesn't name: a batch that gives
the perturbation away is left out of a training with good reason, and goes on giving it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from campaigns.data_spec import DataSpec
from campaigns.screen_spec import ReferenceSpec
from lingshu_core.confounding import PERTURBED, Confounding, find_confounding
from lingshu_core.count_rows import CountRows
from lingshu_core.errors import MissingColumn
from screening.objective.readouts import cell_sources

MOST_VALUES = 200
"""A column with more values is a number or a name of cells, not a factor."""
_COMPARED = (PERTURBED, "perturbation", "method", "perturbation_type")
_GROUP, _FROM, _TO = "group of the reference", "from", "to"


def find_confounders(data: DataSpec) -> tuple[Confounding, ...]:
    """Find factors that go with the perturbation or with one another, the worst first; none where nothing was done.

    Columns have the names of ``data.columns``, others that of the file.

    Raises
    ------
    DataError
        If the files can't be read.
    """
    if data.columns.perturbation is None:
        return ()
    table = _annotation(data)
    # A column with the same words is the perturbation once more, not a factor.
    copies = [name for name in table if name != "perturbation" and table[name].equals(table["perturbation"])]
    table = table.drop(columns=copies)
    # Within a factor that gives the perturbation away nothing has a control, and all others would look guilty.
    guilty = {each.factor for each in find_confounding(table, control=data.control) if each.harmful}
    within = [factor for factor in data.factors if factor not in guilty]
    return find_confounding(table, control=data.control, within=within)


def find_reference_confounders(reference: ReferenceSpec) -> tuple[Confounding, ...]:
    """Find factors that give away which of the two groups of a reference a cell is of; errors as above.

    Groups whose cells come from several values each, such as healthy and diseased donors, have replicates: that is how
    such an experiment is made, and nothing to warn of.
    """
    table = _annotation(reference.data)
    start, to = _matching(table, reference.start), _matching(table, reference.to)
    groups = pd.Series(np.where(start, _FROM, _TO), index=table.index, name=_GROUP)
    # What chooses the groups is the question, and what was done to the cells belongs to it.
    table = table.drop(columns=[name for name in {*reference.start, *reference.to, *_COMPARED} if name in table])
    kept = table.assign(**{_GROUP: groups})[start | to]
    found = find_confounding(kept, control=_FROM, perturbation=_GROUP)
    single = kept.groupby(_GROUP).nunique().min() == 1
    return tuple(each for each in found if each.harmful and single[each.factor])


def is_warning(found: Confounding) -> bool:
    """Tell what has to do with the perturbation from two factors that merely go together."""
    return found.harmful or found.other in _COMPARED


def consequence(found: Confounding) -> str:
    """Say what a finding means, and what can't be evaluated."""
    factor = repr(found.factor)
    if found.harmful:
        return (
            f"models learn the effect of both, scores against real cells hold for both together, and no split can tell"
            f" them apart: holding a value of {factor} out leaves nothing to compare with"
        )
    if found.other in ("method", "perturbation_type"):
        return (
            f"a difference between values of {factor} may be one of {found.other}: whether effects carry over from one"
            " to another can't be evaluated"
        )
    if found.other in (PERTURBED, "perturbation"):
        return (
            f"each effect has controls beside it, but perturbations differ in {factor} too: whether a model tells them"
            f" apart, or tells values of {factor} apart, can't be evaluated"
        )
    return f"what one does can't be told from what the other does, and a split by {factor} splits {found.other!r} too"


def _annotation(data: DataSpec) -> pd.DataFrame:
    """Return the columns of all files that can be factors, as text, under the names of ``data.columns``."""
    tables = []
    for source in cell_sources(data):
        with CountRows(source) as file:
            tables.append(_renamed(file.annotation().obs, data.columns.named, source.path))
    table = pd.concat(tables, ignore_index=True, join="inner")
    return table[[name for name in table if name in _COMPARED or table[name].nunique() <= MOST_VALUES]]


def _renamed(obs: pd.DataFrame, columns: Mapping[str, str], path: str) -> pd.DataFrame:
    for role, column in columns.items():
        if column not in obs:
            raise MissingColumn(f"{path}: obs has no column {column!r} (data.columns.{role})")
    roles = {role: obs[column].astype(str) for role, column in columns.items()}
    others = [name for name in obs if name not in (*columns, *columns.values()) and obs[name].nunique() <= MOST_VALUES]
    return pd.DataFrame({**{str(name): obs[name].astype(str) for name in others}, **roles})


def _matching(table: pd.DataFrame, wanted: Mapping[str, Iterable[object]]) -> pd.Series:
    keep = pd.Series(True, index=table.index)
    for role, values in wanted.items():
        keep &= table[role].isin([str(value) for value in values])
    return keep
