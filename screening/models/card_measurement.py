"""``lingshu card``: measure a model on real cells and write its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from campaigns.conditions import Perturbation
from lingshu_core.cell_drawing import Draw, drawing
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import CheckpointHeader
from lingshu_core.context_gates import ContextGate, measure_gates
from lingshu_core.errors import ConditionError, ConfigurationError
from lingshu_core.gate import GateSettings
from lingshu_core.predictor import StoredPredictor, open_predictor
from lingshu_core.preparation import cell_condition
from lingshu_core.privacy import DonorCells, Measure, Privacy, measure_privacy
from lingshu_core.reveal import RevealSettings
from lingshu_core.training import pick_device
from lingshu_core.vocabulary import Vocabulary
from screening.errors import CardError
from screening.models.card_cells import CardCells, held_out, read_card_cells
from screening.models.card_limits import limits
from screening.models.card_scores import scores_of
from screening.models.card_text import render_card
from screening.models.model_card import PARTS, ModelCard, read_card, write_card
from screening.planning.ensemble_file import read_ensemble

MOST_DRAWN = 2_000
"""Cells that are drawn to look for training cells among them."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CardRequest:
    """What to measure of which model.

    Parameters
    ----------
    model
        Checkpoint or ensemble, folder or URL; of an ensemble every member gets a card.
    data
        Files with real cells; none: nothing is measured, and what was measured before stays.
    evaluation, trained_like
        Results of ``lingshu evaluate``, and the name of the model there that was trained in the same way, where this
        very model is not among them.
    columns, layer
        Where they differ from those of the training: role → column of ``obs``, layer with raw counts.
    strangers
        Files with cells of donors that the model was not trained on.
    donor
        Role of the column that names donors.
    conditions
        Whether gates of perturbed cells are measured too.
    sampler, settings
        How cells are drawn, and how gates are calibrated.
    """

    model: str
    data: tuple[str, ...] = ()
    evaluation: str | None = None
    trained_like: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    layer: str | None = None
    strangers: tuple[str, ...] = ()
    donor: str = "donor"
    conditions: bool = True
    sampler: RevealSettings = field(default_factory=RevealSettings)
    settings: GateSettings = field(default_factory=GateSettings)
    seed: int = 0
    device: str = "auto"
    threads: int = 1


def make_cards(request: CardRequest, on_progress: Progress | None = None) -> tuple[tuple[str, ModelCard], ...]:
    """Write the card of a model, or of each member of an ensemble; folder and card of each.

    Raises
    ------
    CheckpointError, DataError, ConfigurationError, CardError
        If the model, the cells, the settings or the evaluation can't be used.
    """
    torch.set_num_threads(request.threads)
    members = read_ensemble(request.model)
    folders = [request.model]
    if members is not None:
        folders = [f"{request.model.rstrip('/')}/{member.folder}" for member in members]
    return tuple((folder, _make_card(folder, request, on_progress)) for folder in folders)


def _make_card(folder: str, request: CardRequest, on_progress: Progress | None) -> ModelCard:
    predictor = open_predictor(folder, pick_device(request.device))
    header = predictor.header
    parts: dict[str, Any] = dict.fromkeys(PARTS) | _earlier(folder, header.digest)
    if request.data:
        parts |= _measure(predictor, request, on_progress)
    if request.evaluation is not None:
        parts["scores"] = scores_of(request.evaluation, header.digest, request.trained_like)
    content = {"model_digest": header.digest, "version": version("lingshu-screen"), **facts_of(header), **parts}
    content["limits"] = limits(header, content)
    return write_card(folder, content, render_card(content))


def _earlier(folder: str, digest: str) -> dict[str, Any]:
    """Return what was measured of this model before; of a card that can't be trusted nothing."""
    try:
        card = read_card(folder, digest)
    except CardError:
        return {}  # it is written anew
    return {} if card is None else {part: card.content[part] for part in PARTS}


def facts_of(header: CheckpointHeader) -> dict[str, Any]:
    """Return what a checkpoint says of itself, as far as it belongs on a card."""
    card, words = header.card, header.vocabulary
    history = card.get("history") or []
    losses = [epoch["validation_loss"] for epoch in history if "validation_loss" in epoch]
    return {
        "data": {
            "path": card.get("data"),
            "digest": card.get("data_digest"),
            "cells": card.get("cells") or 0,
            "genes": len(words.genes),
            "factors": list(words.factors),
            "contexts": len(words.contexts),
            "control_cells": sum(seen.control_cells for seen in words.contexts),
            "perturbations": len(words.perturbations),
            "held_out": held_out(card),
            "licence": card.get("licence"),
            "source": card.get("source"),
        },
        "training": {
            "paths": card.get("paths"),
            "parameters": card.get("parameters"),
            "settings": dict(card.get("training") or card.get("settings") or {}),
            "epochs": len(history),
            "validation_loss": min(losses, default=None),
            "features": list(card.get("features") or []),
            "versions": dict(card.get("versions") or {}),
        },
    }


def _measure(predictor: StoredPredictor, request: CardRequest, on_progress: Progress | None) -> dict[str, Any]:
    """Measure gates and privacy."""
    header = predictor.header
    found = read_card_cells(request.data, header, request.columns, request.layer)
    draw = drawing(predictor, request.sampler)
    gates = measure_gates(
        draw,
        found.cells,
        conditions=request.conditions,
        seed=request.seed,
        settings=request.settings,
        on_gate=on_progress,
    )
    return {
        "measured": {
            "data": list(request.data),
            "data_digest": found.cells.digest(),
            "cells": len(found.cells),
            "of_training": found.trained is not None,
            "sampler": {
                "steps": request.sampler.steps,
                "schedule": request.sampler.schedule,
                "guidance": request.sampler.guidance,
            },
            "settings": asdict(request.settings),
            "seed": request.seed,
        },
        "gates": [_gate(gate, header.vocabulary) for gate in gates],
        "privacy": _privacy(draw, found, request, header).as_dict(),
    }


def _gate(gate: ContextGate, words: Vocabulary) -> dict[str, Any]:
    """Add the names that people use, and whether the training had such cells."""
    label = "+".join(sorted(name for name, _ in gate.parts))
    here = [seen for seen in words.contexts if set(gate.context.items()) <= set(seen.factors.items())]
    cells = sum(seen.perturbed_cells.get(label, 0) if gate.parts else seen.control_cells for seen in here)
    named = "+".join(Perturbation.of([name], "", dose).label for name, dose in gate.parts)
    return {**gate.as_dict(), "perturbation": named, "trained": cells > 0}


def _privacy(draw: Draw, found: CardCells, request: CardRequest, header: CheckpointHeader) -> Privacy:
    """Draw cells under the conditions of training cells, and look for training cells among them."""
    if found.trained is None:
        return Privacy.not_measured(
            "not measured: the cells given are not those of the training, or were read from other columns, so which of"
            " them it has seen isn't known"
        )
    training, others = found.cells.select(found.trained), [found.cells.select(~found.trained)]
    if request.strangers:
        others.append(read_card_cells(request.strangers, header, request.columns, request.layer).cells)
    donor = request.donor if all(request.donor in cells.obs for cells in (training, *others)) else None
    rows = np.sort(np.random.default_rng(request.seed).permutation(len(training))[:MOST_DRAWN])
    sample = training.select(rows)
    conditions = [cell_condition(row, sample) for row in sample.obs.to_dict("records")]
    try:
        generated = draw(conditions, sample.depth, request.seed)
    except (ConditionError, ConfigurationError) as error:
        return Privacy.not_measured(f"not measured: {error}")
    told = measure_privacy(generated, DonorCells.of(training, donor), _together(others, donor), request.seed)
    if donor is None:
        unknown = Measure(None, f"not measured: no column is named for {request.donor!r}; name it with --donor ROLE")
        told = replace(told, membership=unknown, distance_ratio=unknown)
    return told


def _together(several: Sequence[Cells], donor: str | None) -> DonorCells:
    parts = [DonorCells.of(cells, donor) for cells in several]
    donors, strata = (np.concatenate([getattr(part, name) for part in parts]) for name in ("donors", "strata"))
    return DonorCells(sp.vstack([part.counts for part in parts]).tocsr(), donors, strata)
