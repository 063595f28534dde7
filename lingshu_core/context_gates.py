"""The gates of a model: which groups of real cells there are, and whether the model's cells are like them.

A screen may leave factors of a context out, and then asks for cells of all their values together. So there is a gate
for every set of factors: for each cell type of each donor, each cell type of all donors, each donor, and all cells.
Each of them is judged for the controls, and for every perturbation with enough real cells there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lingshu_core.cell_drawing import Draw
from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.errors import ConditionError, ConfigurationError
from lingshu_core.gate import FEWEST_CELLS, Gate, GateSettings, judge_cells
from lingshu_core.vocabulary import split_label

ALL_SETS_OF = 3
"""With more factors than this only single ones, all together and none are judged: the sets double with each."""

MOST_CELLS = 4_000
"""Real cells of a group that halves are drawn from."""

Parts = tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class CellGroup:
    """Real cells of one condition: ``rows`` are their positions, (cells,); no parts: the controls."""

    context: Mapping[str, str]
    parts: Parts
    rows: npt.NDArray[np.int64]

    @property
    def condition(self) -> Condition:
        """What the model is asked for."""
        return Condition(self.context, self.parts)


@dataclass(frozen=True)
class ContextGate:
    """The gate of one condition, or of the controls of a context."""

    context: Mapping[str, str]
    parts: Parts
    gate: Gate

    def as_dict(self) -> dict[str, Any]:
        """Return the gate as plain data."""
        parts = [[name, dose] for name, dose in self.parts]
        return {"context": dict(self.context), "parts": parts, **self.gate.as_dict()}


def measure_gates(
    draw: Draw,
    cells: Cells,
    *,
    conditions: bool = True,
    seed: int = 0,
    settings: GateSettings | None = None,
    on_gate: Callable[[int, int], None] | None = None,
) -> tuple[ContextGate, ...]:
    """Judge all groups of real cells.

    Parameters
    ----------
    draw
        Draws cells of the model, see :func:`lingshu_core.cell_drawing.drawing`.
    cells
        Real cells with the genes of the model.
    conditions
        Whether perturbed cells are judged too, not only controls.
    seed, settings
        Of the gates.
    on_gate
        Called with the gates that are done and those in all.
    """
    groups = list(cell_groups(cells, conditions))
    found = []
    for place, group in enumerate(groups):
        found.append(ContextGate(group.context, group.parts, _judge(draw, cells, group, groups, seed, settings)))
        if on_gate is not None:
            on_gate(place + 1, len(groups))
    return tuple(found)


def cell_groups(cells: Cells, conditions: bool = True) -> Iterator[CellGroup]:
    """Group cells: contexts with all factors first, then with fewer; in each the controls, then the perturbations.

    Perturbations with too few cells for a gate are left out, contexts are not.
    """
    for factors in _sets(cells.context_roles):
        for context, rows in _by(cells.obs, list(factors)):
            own = cells.obs.iloc[rows]
            controls = rows[(own["perturbation"] == cells.control).to_numpy()]
            yield CellGroup(dict(zip(factors, context, strict=True)), (), controls)
            perturbed = own[own["perturbation"] != cells.control] if conditions else own.iloc[:0]
            for (label, dose), places in _by(perturbed, ["perturbation", "dose"]):
                if len(places) >= FEWEST_CELLS:
                    parts = tuple((part, None if np.isnan(dose) else float(dose)) for part in split_label(label))
                    yield CellGroup(dict(zip(factors, context, strict=True)), parts, perturbed.index[places].to_numpy())


def _sets(roles: Sequence[str]) -> list[tuple[str, ...]]:
    sizes = range(len(roles), -1, -1) if len(roles) <= ALL_SETS_OF else (len(roles), 1, 0)
    return [found for size in sizes for found in combinations(roles, size)]


def _by(obs: pd.DataFrame, columns: list[str]) -> Iterator[tuple[tuple[Any, ...], npt.NDArray[np.int64]]]:
    """Yield the values of columns that occur, sorted, and the positions of their rows."""
    if not columns:
        yield (), np.arange(len(obs))
        return
    for values, rows in sorted(obs.groupby(columns, dropna=False).indices.items(), key=lambda item: str(item[0])):
        yield values if isinstance(values, tuple) else (values,), np.asarray(rows, dtype=np.int64)


def _judge(
    draw: Draw, cells: Cells, group: CellGroup, groups: Sequence[CellGroup], seed: int, settings: GateSettings | None
) -> Gate:
    settings, random = settings or GateSettings(), np.random.default_rng(seed)
    rows = random.permutation(group.rows)[:MOST_CELLS]
    if len(rows) < FEWEST_CELLS:
        return judge_cells(cells.counts[:0], cells.counts[rows], seed=seed, settings=settings)
    wanted = min(len(rows) // 2, settings.most_cells)
    depth = random.choice(cells.depth[rows], wanted, replace=False)
    try:
        generated = draw([group.condition] * wanted, depth, seed)
    except (ConditionError, ConfigurationError) as error:
        return Gate("not measured", str(error), len(group.rows))
    others = [cells.counts[other.rows[:MOST_CELLS]] for other in _others(group, groups)[: settings.most_others]]
    gate = judge_cells(generated, cells.counts[rows], others, seed, settings)
    return replace(gate, cells=len(group.rows))


def _others(group: CellGroup, groups: Sequence[CellGroup]) -> list[CellGroup]:
    """Return the same condition in other contexts of the same factors, or else their controls; most cells first."""
    elsewhere = sorted(
        (each for each in groups if each.context.keys() == group.context.keys() and each.context != group.context),
        key=lambda each: -len(each.rows),
    )
    same = [each for each in elsewhere if each.parts == group.parts]
    return same or [each for each in elsewhere if not each.parts]
