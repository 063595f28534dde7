"""Features: vectors of perturbations in a JSON file, {"STAT1": [0.1, 0.2], …}."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def json_vectors(perturbation_type, settings):
    """Read the vectors of `settings.file`; whatever it names can be screened, seen in training or not."""
    content = json.loads(Path(str(settings["file"])).read_text(encoding="utf-8"))
    return {name: np.asarray(vector, dtype=float) for name, vector in content.items()}
