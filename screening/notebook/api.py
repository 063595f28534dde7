"""What notebooks and scripts call: run, plan, train, open, draw. Quiet, with errors that a notebook shows in a line.

Nothing heavy is imported before a function needs it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screening.notebook.opened_screen import Screen
from screening.notebook.progress_lines import ProgressLines, Quiet
from screening.notebook.shown_errors import shown

if TYPE_CHECKING:
    from anndata import AnnData

    from lingshu_core.simulator import SimulationFiles
    from lingshu_core.training import TrainingProgress
    from screening.notebook.planned_screen import PlannedScreen
    from screening.training.baseline_training import BaselineResult
    from screening.training.ensemble_training import EnsembleResult
    from screening.training.training_run import TrainingResult
    from screening.watching.run_listener import RunListener

__all__ = ["ProgressLines", "Screen", "draw_cells", "open_results", "plan", "screen", "simulate", "train"]

CampaignPath = str | os.PathLike[str]


@shown
def screen(
    campaign: CampaignPath,
    *,
    output: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    replicas: int | None = None,
    backend: str | None = None,
    take_over: bool = False,
    listener: RunListener | None = None,
) -> Screen:
    """Run a campaign to published results and open them; run again, it goes on where it was.

    Parameters
    ----------
    campaign
        A ``kind: screen`` YAML file.
    output, cache, replicas, backend
        Instead of what the file says, as the options of ``lingshu run``.
    take_over
        Stop another run that is into the same place, instead of following it.
    listener
        Hears of stages and progress (`screening.ProgressLines` prints them); by default nobody does.

    Returns
    -------
    Screen
        Where conditions failed or somebody cancelled, with a warning that says so.

    Raises
    ------
    CampaignError, LingshuCoreError, ActorsError, ScreeningError
        When the campaign can't be run as it is asked. What was committed stays committed.
    """
    from screening.run import run_campaign

    given = _overrides(output=output, cache=cache, replicas=replicas, backend=backend)
    result = run_campaign(campaign, listener or Quiet(), given, take_over=take_over)
    if not result.complete:
        warnings.warn(f"{result.output}: {result.shortfall}", stacklevel=3)
    return Screen.open(result.output)


@shown
def open_results(url: str | os.PathLike[str]) -> Screen:
    """Open the results of a screen that ran: its ``output``, a folder or a URL.

    Raises
    ------
    ResultsError, StoreError
        If there are none, or they can't be read.
    """
    return Screen.open(os.fspath(url))


@shown
def plan(
    campaign: CampaignPath,
    *,
    output: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> PlannedScreen:
    """Plan a campaign and count what the store has of it; nothing is computed.

    Raises
    ------
    CampaignError, LingshuCoreError, ActorsError, ScreeningError
        When it can't be planned as it is asked.
    """
    from screening.notebook.planned_screen import PlannedScreen
    from screening.planning.campaign import load_campaign, plan_campaign
    from screening.watching.status import campaign_status

    planned = plan_campaign(load_campaign(campaign, _overrides(output=output, cache=cache)))
    return PlannedScreen(planned, campaign_status(planned))


@shown
def train(
    campaign: CampaignPath,
    *,
    output: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    workers: int | None = None,
    listener: Callable[[TrainingProgress], None] | None = None,
) -> TrainingResult | EnsembleResult | BaselineResult:
    """Train the model, the ensemble or the baseline of a ``kind: train`` file.

    Parameters
    ----------
    campaign
        The file.
    output, seed, seeds, workers
        Instead of what the file says, as the options of ``lingshu train``.
    listener
        Hears where the training stands; by default nobody does.

    Raises
    ------
    CampaignError, LingshuCoreError, ScreeningError
        When the file, the cells or the settings don't allow it.
    """
    from screening.training.ensemble_training import train_file

    return train_file(campaign, listener, _overrides(output=output, seed=seed, seeds=seeds, workers=workers))


@shown
def draw_cells(
    model: str | os.PathLike[str],
    perturbation: str | None = None,
    context: Mapping[str, str] | None = None,
    *,
    cells: int = 1000,
    seed: int = 0,
    listener: Callable[[int, int], None] | None = None,
    **fields: Any,
) -> AnnData:
    """Draw cells from a model into memory: raw counts, one row a cell.

    Parameters
    ----------
    model
        Folder or URL of a checkpoint.
    perturbation
        ``A``, ``A+B`` or ``drug@dose``; None draws controls.
    context
        Factor → value, such as ``{"cell_type": "B cells"}``; factors left out are drawn as the training data have them.
    cells, seed
        How many, and the seed of every random number.
    listener
        Called with the cells drawn and the cells in all.
    fields
        Further fields of a ``kind: generate`` file, such as ``sampler={"steps": 12}`` (docs/generate.md).

    Raises
    ------
    CampaignError, LingshuCoreError, ScreeningError
        If the request is not valid, or the model can't be used.
    """
    from screening.models.generate import draw, read_request

    asked = {"model": os.fspath(model), "cells": cells, "seed": seed, "output": _IN_MEMORY, **fields}
    asked |= {} if perturbation is None else {"perturbation": perturbation}
    asked |= {} if context is None else {"context": dict(context)}
    spec, source = read_request(None, {(name,): value for name, value in asked.items()})
    return draw(spec, source, "screening.draw_cells", listener).cells


_IN_MEMORY = "memory.h5ad"
"""A request has to name a file; this one is never written."""


@shown
def simulate(folder: str | os.PathLike[str], **settings: Any) -> SimulationFiles:
    """Simulate a perturbation experiment with known truth: a test bench, not biology.

    Parameters
    ----------
    folder
        Where cells, truth and the gene set are written.
    settings
        Those of `lingshu_core.simulation_config.SimulationConfig`, such as ``seed=1, genes=60``.

    Raises
    ------
    SimulationError
        If the settings don't fit together.
    """
    from lingshu_core.simulation_config import SimulationConfig
    from lingshu_core.simulator import simulate as simulate_cells

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    return simulate_cells(SimulationConfig(**settings)).write(target)


def _overrides(**values: Any) -> dict[str, Any]:
    return {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in values.items()}
