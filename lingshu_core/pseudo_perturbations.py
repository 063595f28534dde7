"""Pseudo-perturbations: groups of control cells that are trained under labels of their own, as a perturbation is.

Groups are drawn at random, or made of what a column says: each non-targeting guide, each replicate of a guide.

What a model says of them is what it says where there is nothing to say: a measured null. Control against control under
common random numbers is exactly zero and tells nothing.

A cell of a group is taught under the group's label alone, never as a control. Then a group is to the rest of the
controls what the cells of a perturbation without effect would be: other cells, as many of them, drawn as often
(``balance`` goes by the size of the group), against the same controls. Were its cells taught as controls too, it would
be compared with itself, and the null too narrow: by (1/n − 1/N) / (1/n + 1/N) in variance, for n of N controls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells

MOST_OF_CONTROLS = 0.5
"""Share of a context's control cells that the groups take together at most; the others stay the control."""
_SALT = 20_107
_NO_VALUE = ("", "nan", "None", "<NA>")


@dataclass(frozen=True)
class PseudoPerturbations:
    """Groups of control cells with labels of their own.

    Parameters
    ----------
    names
        Labels, in the order of the model's indices.
    groups
        Position of each cell's group among the names, −1 for none, (cells,).
    notices
        What the user ought to read.
    """

    names: tuple[str, ...] = ()
    groups: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    notices: tuple[str, ...] = ()

    def counts(self, rows: npt.NDArray[np.int64]) -> dict[str, int]:
        """Return the cells of each group among some cells; groups without any are not listed."""
        if not self.names:
            return {}
        own = self.groups[rows]
        sizes = np.bincount(own[own >= 0], minlength=len(self.names))
        return {name: int(size) for name, size in zip(self.names, sizes, strict=True) if size}

    def relabelled(self, cells: Cells) -> Cells:
        """Return the cells as they are taught: those of a group under its label.

        For training alone. Whatever is measured on control cells is measured on all of them.
        """
        if not self.names:
            return cells
        labels = cells.obs["perturbation"].to_numpy(dtype=object, copy=True)
        chosen = self.groups >= 0
        labels[chosen] = np.array(self.names, dtype=object)[self.groups[chosen]]
        return replace(cells, obs=cells.obs.assign(perturbation=pd.Series(labels, index=cells.obs.index)))


NO_PSEUDO = PseudoPerturbations()


def draw_pseudo_perturbations(cells: Cells, groups: int, seed: int) -> PseudoPerturbations:
    """Draw disjoint groups of control cells at random, in every context for itself.

    In a context, the sizes of the groups are spread like those of the perturbations there: group k of G has the size of
    the quantile (k + ½) / G. Where that takes more than ``MOST_OF_CONTROLS`` of the controls, all of them are made
    smaller. The draw depends on the cells and ``seed`` alone, so that all members of an ensemble have the same groups.

    Parameters
    ----------
    cells
        All cells to train on.
    groups
        How many labels.
    seed
        Of the draw.

    Raises
    ------
    UnusableCells
        If a perturbation of the data has a label of these, or the controls are too few for groups.
    """
    names = tuple(f"null-{number:0{len(str(groups))}d}" for number in range(1, groups + 1))
    _refuse_taken(names, cells)
    drawn = np.full(len(cells), -1, dtype=np.int64)
    short = 0
    for number, rows in enumerate(_contexts(cells)):
        sizes, cut = _sizes(cells.obs["perturbation"].iloc[rows].value_counts(), cells.control, groups)
        short += cut
        controls = rows[cells.is_control[rows]]
        order = np.random.default_rng([seed, _SALT, number]).permutation(controls)[: sizes.sum()]
        drawn[order] = np.repeat(np.arange(groups), sizes)
    empty = [name for name, size in zip(names, _total(drawn, groups), strict=True) if not size]
    if empty:
        raise UnusableCells(
            f"{cells.source}: pseudo_perturbations: the control cells are too few for {groups} groups, {len(empty)} of"
            " them would be empty; ask for fewer, or leave pseudo_perturbations out"
        )
    return PseudoPerturbations(names, drawn, _notices(short, drawn, cells))


def pseudo_perturbations_by(cells: Cells, roles: Sequence[str], minimum_cells: int, seed: int) -> PseudoPerturbations:
    """Make a group of the control cells of each value of a column, such as each non-targeting guide.

    Such a group has what a random one hasn't: the effect of its guide, its plate or its replicate. Half of its cells
    (``MOST_OF_CONTROLS``), drawn at random, are taught under its label, and the others stay among the controls.

    Parameters
    ----------
    cells
        All cells to train on.
    roles
        Columns whose values make the groups; of several columns, their combinations do.
    minimum_cells
        Cells that a group has in a context at least, or else it is left out there.
    seed
        Of the draw of the cells.

    Raises
    ------
    UnusableCells
        If fewer than two groups are large enough, or a perturbation of the data has the label of one.
    """
    values = _values(cells, roles)
    drawn = np.full(len(cells), "", dtype=object)
    small: dict[str, int] = {}
    for number, rows in enumerate(_contexts(cells)):
        random = np.random.default_rng([seed, _SALT, 1, number])
        for value, own in _by_value(values, rows):
            taken = random.permutation(own)[: int(len(own) * MOST_OF_CONTROLS)]
            if len(taken) < minimum_cells:
                small[value] = small.get(value, 0) + len(own)
            else:
                drawn[taken] = value
    kept = sorted(set(drawn) - {""})
    if len(kept) < 2:
        raise UnusableCells(
            f"{cells.source}: pseudo_perturbations: of the values of {' and '.join(roles)} among control cells,"
            f" {len(kept)} have {minimum_cells} cells to spare (half of theirs) in a context, and a null needs two at"
            " least; lower minimum_cells, or ask for random groups"
        )
    names = _labels_of(kept)
    _refuse_taken(names, cells)
    places = {value: place for place, value in enumerate(kept)} | {"": -1}
    groups = np.array([places[value] for value in drawn], dtype=np.int64)
    return PseudoPerturbations(names, groups, (*_notices(0, groups, cells), *_left_out(small, minimum_cells)))


def _values(cells: Cells, roles: Sequence[str]) -> npt.NDArray[np.object_]:
    """Return what the columns say of each control cell, joined; empty where one says nothing, (cells,)."""
    columns = [cells.obs[role].astype(str).str.strip() for role in roles]
    missing = np.any([column.isin(_NO_VALUE) for column in columns], axis=0) | ~cells.is_control
    joined = np.array(["-".join(row) for row in zip(*columns, strict=True)], dtype=object)
    joined[missing] = ""
    return joined


def _by_value(
    values: npt.NDArray[np.object_], rows: npt.NDArray[np.int64]
) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Yield every value and the cells that have it, among some cells, in sorted order."""
    for value, places in sorted(pd.Series(values[rows]).groupby(values[rows]).indices.items()):
        if value:
            yield str(value), rows[places]


def _labels_of(values: Sequence[str]) -> tuple[str, ...]:
    """Return a label for each value, with no sign that means something in labels; equal ones are numbered."""
    labels: list[str] = []
    for value in values:
        plain = label = "null-" + re.sub(r"[^\w.-]", "_", value)
        number = 1
        while label in labels:
            number += 1
            label = f"{plain}_{number}"
        labels.append(label)
    return tuple(labels)


def _left_out(small: dict[str, int], minimum_cells: int) -> tuple[str, ...]:
    """Tell which groups are too small in a context."""
    if not small:
        return ()
    told = ", ".join(f"{value} ({size:,} cells)" for value, size in sorted(small.items())[:8])
    more = f" and {len(small) - 8} more" if len(small) > 8 else ""
    return (
        f"pseudo-perturbations: left out where half of their cells are fewer than {minimum_cells}: {told}{more}; these"
        " stay controls",
    )


def _refuse_taken(names: tuple[str, ...], cells: Cells) -> None:
    taken = {part.strip() for label in cells.obs["perturbation"].unique() for part in str(label).split("+")}
    both = sorted(taken.intersection(names))
    if both:
        raise UnusableCells(
            f"{cells.source}: pseudo_perturbations are called {names[0]} to {names[-1]}, and the data have a"
            f" perturbation {both[0]!r}; rename it"
        )


def _contexts(cells: Cells) -> list[npt.NDArray[np.int64]]:
    """Return the positions of the cells of each context, in the sorted order of contexts."""
    roles = list(cells.context_roles)
    if not roles:
        return [np.arange(len(cells))]
    return [np.sort(rows) for _, rows in sorted(cells.obs.groupby(roles, sort=True, observed=True).indices.items())]


def _sizes(counts: pd.Series, control: str, groups: int) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the sizes of the groups in one context, (groups,), and whether they had to be made smaller.

    ``counts`` are the cells of each label there.
    """
    perturbed = counts[(counts.index != control) & (counts > 0)].to_numpy()
    if not len(perturbed):
        return np.zeros(groups, dtype=np.int64), False
    wanted = np.quantile(perturbed, (np.arange(groups) + 0.5) / groups).round().astype(np.int64)
    most = int(counts.get(control, 0) * MOST_OF_CONTROLS)
    if wanted.sum() <= most:
        return wanted, False
    ends = np.floor(np.cumsum(wanted) * (most / wanted.sum())).astype(np.int64)
    return np.diff(ends, prepend=0), True


def _total(drawn: npt.NDArray[np.int64], groups: int) -> npt.NDArray[np.int64]:
    return np.bincount(drawn[drawn >= 0], minlength=groups)


def _notices(short: int, drawn: npt.NDArray[np.int64], cells: Cells) -> tuple[str, ...]:
    taken = int((drawn >= 0).sum())
    told = [f"pseudo-perturbations: {taken:,} of {int(cells.is_control.sum()):,} control cells, trained as a null"]
    if short:
        told.append(
            f"in {short} contexts the controls are too few for groups as large as the perturbations: theirs are"
            " smaller, and the null is wider than it ought to be; ask for fewer groups or bring more controls"
        )
    return tuple(told)
