"""Features that other packages bring, under the entry points ``lingshu.features``.

Behind an entry point stands a function ``(perturbation_type, settings) → {name: vector}``. It gives vectors of all
that it knows, seen in training or not: what it describes is what can be screened without a cell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from campaigns.feature_spec import PluginSource
from lingshu_core.perturbation_features import FeatureBlock
from lingshu_core.plugins import FEATURES, Plugin, load_plugin

Array = npt.NDArray[np.float64]


def plugin_block(source: PluginSource, perturbation_type: str) -> FeatureBlock:
    """Ask a plugin for its vectors.

    Raises
    ------
    PluginError
        If the plugin isn't there, fails, or gives something else than vectors of one length.
    """
    plugin = load_plugin(FEATURES, source.plugin)
    with plugin.blamed("the features"):
        found = plugin.value(perturbation_type, dict(source.settings))
    values = _matrix(plugin, found)
    names = tuple(found)
    return FeatureBlock(
        names=names,
        values=values,
        kind=f"plugin {plugin.title}",
        perturbation_type=perturbation_type,
        sha256=_digest(names, values, source.settings),
        licence=source.licence,
        dimensions=source.dimensions,
    )


def _matrix(plugin: Plugin, found: Any) -> Array:
    """Stack the vectors, (names, columns)."""
    if not isinstance(found, Mapping) or not found:
        what = "an empty mapping" if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise plugin.wrong(f"the features are {what}; they have to be a mapping of name → vector")
    rows = {name: np.asarray(vector) for name, vector in found.items()}
    width = len(next(iter(rows.values())).ravel())
    for name, row in rows.items():
        if not isinstance(name, str) or row.shape != (width,) or row.dtype.kind not in "biuf" or not width:
            raise plugin.wrong(
                f"the vector of {name!r} is {row.dtype} of the shape {row.shape}; all have to be numbers of the shape"
                f" ({max(width, 1)},), under names that are text"
            )
    values = np.stack(list(rows.values())).astype(np.float64)
    if not np.isfinite(values).all():
        bad = list(rows)[int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])]
        raise plugin.wrong(f"the vector of {bad!r} has values that are NaN or infinite")
    return values


def _digest(names: tuple[str, ...], values: Array, settings: Mapping[str, Any]) -> str:
    """Name what the plugin gave: there is no file whose bytes could."""
    state = hashlib.sha256(json.dumps([names, sorted(settings.items())]).encode())
    state.update(np.ascontiguousarray(values).tobytes())
    return state.hexdigest()
