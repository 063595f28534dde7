"""Names and labels of cells, looked up in the ways that splits need; counts play no part."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from lingshu_core.cells import Cells
from lingshu_core.errors import SplitError
from lingshu_core.methods import target_of
from lingshu_core.vocabulary import split_label

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
"""Positions of cells in the data set, rising."""

NO_CONTEXT = ("perturbation", "perturbation_type", "method", "dose", "depth")
_SHOWN = 12


@dataclass(frozen=True)
class CellTable:
    """What a split is made from.

    Parameters
    ----------
    names
        Of the cells, each once, (cells,).
    obs
        ``perturbation``, ``perturbation_type``, ``dose`` (NaN: none) and one column of text a role, (cells,).
    context_roles
        The roles that make up a context.
    control
        Label of the controls.
    source
        Where the cells come from, for messages.
    """

    names: npt.NDArray[np.str_]
    obs: pd.DataFrame
    context_roles: tuple[str, ...]
    control: str
    source: str = ""
    _cache: dict[tuple[str, object], Rows] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, cells: Cells) -> CellTable:
        """Take names and labels of cells; row numbers stand in for names that were never given.

        Raises
        ------
        SplitError
            If two cells have the same name.
        """
        names = cells.names if len(cells.names) else np.arange(len(cells)).astype(np.str_)
        table = cls(names, cells.obs, cells.context_roles, cells.control, cells.source)
        unique, sizes = np.unique(names, return_counts=True)
        if len(unique) < len(names):
            shown = ", ".join(unique[sizes > 1][:5])
            raise SplitError(
                f"{cells.source}: {len(names) - len(unique)} cells have the name of another one ({shown}), and a split "
                "tells cells by their names; make obs_names unique (AnnData.obs_names_make_unique), or drop cells that "
                "are there twice"
            )
        return table

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.names)

    @cached_property
    def by_name(self) -> Rows:
        """Positions of the cells in the order of their names: what is drawn depends on no order of rows."""
        return np.argsort(self.names, kind="stable")

    @cached_property
    def labels(self) -> npt.NDArray[np.object_]:
        """Perturbation of each cell, (cells,)."""
        return self.obs["perturbation"].to_numpy(dtype=object)

    @cached_property
    def is_control(self) -> Mask:
        """Which cells are controls, (cells,)."""
        return np.asarray(self.labels == self.control, dtype=bool)

    @cached_property
    def rows_by_label(self) -> Mapping[str, Rows]:
        """Perturbation label → its cells, controls left out; labels in alphabetical order."""
        groups = pd.Series(self.labels).groupby(self.labels, sort=True).indices
        return {str(label): np.sort(rows) for label, rows in groups.items() if label != self.control}

    @cached_property
    def targets(self) -> Mapping[str, frozenset[str]]:
        """Perturbation label → what it perturbs, without the methods."""
        return {label: targets_of(label) for label in self.rows_by_label}

    @cached_property
    def all_targets(self) -> tuple[str, ...]:
        """Everything that is perturbed, alone or in combinations."""
        return tuple(sorted({target for targets in self.targets.values() for target in targets}))

    @cached_property
    def types(self) -> Mapping[str, str]:
        """Perturbation label → its type."""
        column = self.obs["perturbation_type"].to_numpy(dtype=object)
        return {label: str(column[rows[0]]) for label, rows in self.rows_by_label.items()}

    @cached_property
    def singles(self) -> Mapping[str, tuple[str, ...]]:
        """Target → labels that perturb it alone, by whichever method."""
        found: dict[str, list[str]] = {}
        for label, targets in self.targets.items():
            if len(targets) == 1:
                found.setdefault(next(iter(targets)), []).append(label)
        return {target: tuple(labels) for target, labels in sorted(found.items())}

    @cached_property
    def doses(self) -> npt.NDArray[np.float64]:
        """Dose of each cell, NaN where it has none, (cells,)."""
        if "dose" not in self.obs:
            return np.full(len(self), np.nan)
        return self.obs["dose"].to_numpy(dtype=float)

    def column(self, role: str, asked_by: str) -> npt.NDArray[np.object_]:
        """Return the values of a role, (cells,).

        Raises
        ------
        SplitError
            If the data don't name it.
        """
        possible = [name for name in self.obs if name not in NO_CONTEXT]
        if role not in possible:
            raise SplitError(
                f"{asked_by}: {role!r} isn't named under data.columns; named are: {', '.join(possible) or 'none'}"
            )
        return self.obs[role].to_numpy(dtype=object)

    def values(self, role: str, asked_by: str) -> Mapping[str, Rows]:
        """Return the cells of each value of a role, values in alphabetical order; errors as in :meth:`column`."""
        column = self.column(role, asked_by)
        return {str(value): np.sort(rows) for value, rows in pd.Series(column).groupby(column).indices.items()}

    def having(self, targets: Collection[str]) -> Rows:
        """Return the cells in which any of the targets is perturbed, alone or in a combination."""
        key = ("having", frozenset(targets))
        if key not in self._cache:
            found = [rows for label, rows in self.rows_by_label.items() if self.targets[label] & key[1]]
            self._cache[key] = united(found)
        return self._cache[key]

    def contexts(self, roles: Sequence[str]) -> tuple[Rows, tuple[Mapping[str, str], ...]]:
        """Number the contexts that some roles make up.

        Returns
        -------
        tuple
            Number of the context of each cell, (cells,), and the contexts in that order, which is alphabetical.
        """
        if not roles:
            return np.zeros(len(self), dtype=np.int64), ({},)
        groups = self.obs.groupby(list(roles), sort=True)
        found = tuple(
            dict(zip(roles, map(str, value if isinstance(value, tuple) else (value,)), strict=True))
            for value, _ in groups
        )
        return groups.ngroup().to_numpy(dtype=np.int64), found

    def mask(self, rows: Rows) -> Mask:
        """Return positions as a mask, (cells,)."""
        found = np.zeros(len(self), dtype=bool)
        found[rows] = True
        return found


def targets_of(label: str) -> frozenset[str]:
    """Return what a perturbation label perturbs, without the methods."""
    return frozenset(map(target_of, split_label(label)))


def united(rows: Sequence[Rows]) -> Rows:
    """Return the cells that are in any of several groups, each of rising positions."""
    if len(rows) == 1:
        return rows[0]
    return np.unique(np.concatenate(rows)) if rows else np.empty(0, dtype=np.int64)


def draw(seed: int, *words: str) -> np.random.Generator:
    """Return random numbers that depend on a seed and on what they are for, and on nothing else."""
    text = "\n".join((str(seed), *words))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))


def listed(names: Collection[str], most: int = _SHOWN) -> str:
    """Name some things and count the rest."""
    shown = list(names)[:most]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "") if shown else "none"
