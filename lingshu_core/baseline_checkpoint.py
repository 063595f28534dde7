"""Checkpoints of baselines: the folder of a model, with measured effects in the place of weights.

::

    model/
    ├── weights.safetensors        control moments, measured changes, features, low-rank factors, decoder
    ├── control_cells.safetensors  control cells to draw from, sparse
    ├── controls.safetensors       depths of the control cells of each seen context, as of a model
    ├── vocabulary.json            as of a model
    ├── model.json                 `model: baseline`, its kind and settings, and where it comes from
    └── manifest.json              as of a model
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from lingshu_core.baseline_cells import ControlCells
from lingshu_core.baseline_low_rank import LowRank
from lingshu_core.baseline_models import PLUGIN, BaselinePredictor, BaselineSettings, Fitted
from lingshu_core.baseline_neighbours import DescribedParts, choices_from_json, choices_to_json
from lingshu_core.baseline_scvi import ConditionalVae, ScviSettings
from lingshu_core.baseline_statistics import GroupStatistics
from lingshu_core.checkpoint import (
    BASELINE,
    CARD,
    CONTROLS,
    VOCABULARY,
    WEIGHTS,
    CheckpointHeader,
    library_versions,
    read_arrays,
    write_files,
)
from lingshu_core.errors import CheckpointError, ConfigurationError
from lingshu_core.perturbation_features import FeatureOrigin
from lingshu_core.plugin_model import open_plugin
from lingshu_core.vocabulary import Vocabulary

CONTROL_CELLS = "control_cells.safetensors"
BASELINE_VERSION = 1
"""Raised whenever the same statistics would give other predictions; an older checkpoint is then refused."""
_STATISTICS = tuple(GroupStatistics.__dataclass_fields__)
_DESCRIBED = tuple(DescribedParts.__dataclass_fields__)
_VAE = tuple(ConditionalVae.__dataclass_fields__)
_LOW_RANK = ("mean", "shifts", "programs", "loadings", "answers", "own", "labels", "doses")


@dataclass(frozen=True)
class BaselineProvenance:
    """Where a baseline comes from, written into ``model.json``; fields as of :class:`checkpoint.Provenance`."""

    data: str
    data_digest: str
    cells: int
    licence: str
    source: str
    held_out: str = ""
    identity: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)


def save_baseline(folder: str, baseline: BaselinePredictor, provenance: BaselineProvenance) -> str:
    """Write a baseline to a local folder or any fsspec URL; returns its digest."""
    model = baseline.fitted.model
    card = {
        "model": BASELINE,
        "version": BASELINE_VERSION,
        "kind": baseline.kind,
        "paths": baseline.title,
        "settings": asdict(baseline.settings),
        "choices": choices_to_json(baseline.fitted.choices),
        "low_rank": None if model is None else {"penalty": model.penalty, "error": model.error, "rank": model.rank},
        "plugin": None if baseline.fitted.plugin is None else baseline.fitted.plugin.card,
        "training": {} if baseline.training is None else asdict(baseline.training),
        **asdict(provenance),
        "features": [asdict(origin) for origin in baseline.origins],
        "versions": library_versions(),
    }
    content = {
        WEIGHTS: safetensors.numpy.save(_arrays(baseline.fitted)),
        CONTROL_CELLS: safetensors.numpy.save(dict(baseline.controls.to_arrays())),
        CONTROLS: safetensors.numpy.save({str(i): found for i, found in enumerate(baseline.depths)}),
        VOCABULARY: _to_bytes(baseline.vocabulary.to_json()),
        CARD: _to_bytes(card),
    }
    return write_files(folder, content)


def load_baseline(folder: str, header: CheckpointHeader) -> BaselinePredictor:
    """Open a baseline whose header was read.

    Raises
    ------
    CheckpointError
        If files are missing, damaged, changed since they were written, or of another version.
    """
    card = header.card
    if card.get("version") != BASELINE_VERSION:
        raise CheckpointError(
            f"{folder}: a baseline of version {card.get('version')!r}, and this version of lingshu-screen predicts by"
            f" version {BASELINE_VERSION}: fit it again with `lingshu train`"
        )
    arrays, cells = read_arrays(folder, WEIGHTS), read_arrays(folder, CONTROL_CELLS)
    try:
        return BaselinePredictor(
            str(card["kind"]),
            header.vocabulary,
            BaselineSettings(**card["settings"]),
            _fitted(arrays, card, header.vocabulary),
            ControlCells.from_arrays(cells, len(header.vocabulary.genes)),
            header.control_depths,
            tuple(FeatureOrigin(**origin) for origin in card["features"]),
            ScviSettings(**card["training"]) if card["training"] else None,
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ConfigurationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{folder}: measured effects and card of the baseline do not fit together ({reason}); fetch the checkpoint"
            " again"
        ) from error


def _arrays(fitted: Fitted) -> dict[str, npt.NDArray[Any]]:
    arrays = {f"statistics.{name}": getattr(fitted.statistics, name) for name in _STATISTICS}
    if fitted.described is not None:
        arrays |= {f"described.{name}": getattr(fitted.described, name) for name in _DESCRIBED}
    if fitted.model is not None:
        arrays |= {f"low_rank.{name}": getattr(fitted.model, name) for name in _LOW_RANK}
    if fitted.vae is not None:
        arrays |= {f"vae.{name}": getattr(fitted.vae, name) for name in _VAE}
    if fitted.plugin is not None:
        arrays |= {f"{PLUGIN}.{name}": array for name, array in fitted.plugin.arrays.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _fitted(arrays: Mapping[str, npt.NDArray[Any]], card: Mapping[str, Any], vocabulary: Vocabulary) -> Fitted:
    def part(prefix: str, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
        return {name: arrays[f"{prefix}.{name}"] for name in names}

    described, model = None, None
    if any(name.startswith("described.") for name in arrays):
        described = DescribedParts(**part("described", _DESCRIBED))
    if card["low_rank"] is not None:
        chosen = card["low_rank"]
        model = LowRank(**part("low_rank", _LOW_RANK), penalty=chosen["penalty"], error=chosen["error"])
    vae = ConditionalVae(**part("vae", _VAE)) if any(name.startswith("vae.") for name in arrays) else None
    statistics = GroupStatistics(**part("statistics", _STATISTICS))
    plugin = open_plugin(card["plugin"], _below(PLUGIN, arrays), vocabulary) if card.get("plugin") else None
    return Fitted(statistics, described, choices_from_json(card["choices"]), model, vae, plugin)


def _below(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    start = f"{prefix}."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _to_bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()
