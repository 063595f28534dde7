"""A small model's vocabulary, and campaign files to be spoiled."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaigns import Loaded, ScreenSpec, Vocabulary, load_screen

TRAIN = """\
kind: train
name: small
data:
  path: cells.h5ad
  columns:
    perturbation: perturbation
    cell_type: cell_type
    donor: donor
    batch: batch
    tissue: my_tissue
  context: [cell_type, donor, tissue]
hold_out:
  - {batch: [3, "4"]}
  - {cell_type: B cells, perturbation: STAT1}
output: results/model
"""

SCREEN = """\
kind: screen
name: small
model: results/model
contexts: all_seen
perturbations:
  genetic: all_seen
objective:
  kind: signature
  down: [IRF1, GBP1]
output: results/screen
"""

VOCABULARY: dict[str, Any] = {
    "format": 1,
    "genes": ["STAT1", "STAT2", "IRF1", "GBP1", "JAK2", "CD14"],
    "factors": {"cell_type": ["B cells", "T cells"], "donor": ["D1", "D2"]},
    "contexts": [
        {"factors": {"cell_type": "B cells", "donor": "D1"}, "control_cells": 12, "cells": 40},
        {"factors": {"cell_type": "B cells", "donor": "D2"}, "control_cells": 3, "cells": 40},
        {"factors": {"cell_type": "T cells", "donor": "D1"}, "control_cells": 9, "cells": 9},
        {"factors": {"cell_type": "T cells", "donor": "D2"}, "control_cells": 0, "cells": 5},
    ],
    "perturbations": {
        "STAT1": {"type": "genetic", "cells": 300, "doses": []},
        "STAT2": {"type": "genetic", "cells": 200, "doses": []},
        "IRF1": {"type": "genetic", "cells": 100, "doses": []},
        "STAT1+JAK2": {"type": "genetic", "cells": 30, "doses": []},
        "IFNB1": {"type": "cytokine", "cells": 90, "doses": []},
        "Drug_01": {"type": "drug", "cells": 90, "doses": [0.1, 1, 10]},
        "Drug_02": {"type": "drug", "cells": 90, "doses": [1.0, 5.0]},
        "Drug_03": {"type": "drug", "cells": 90, "doses": [7.0]},
        "(+)-JQ1": {"type": "drug", "cells": 90, "doses": []},
    },
    "control": "control",
}


@pytest.fixture
def train_text() -> str:
    return TRAIN


@pytest.fixture
def screen_text() -> str:
    return SCREEN


@pytest.fixture
def vocabulary_json() -> dict[str, Any]:
    return VOCABULARY


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.from_json(VOCABULARY)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a text as a file and give its path."""

    def write_file(text: str, name: str = "screen.yaml") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def screen(write: Callable[..., Path]) -> Callable[..., Loaded[ScreenSpec]]:
    """Load the small screen with some of its lines replaced: ``screen(contexts="[{donor: D1}]")``."""

    def load(extra: str = "", **values: str) -> Loaded[ScreenSpec]:
        text = SCREEN + extra
        for key, value in values.items():
            old = {"contexts": "all_seen\nperturbations", "genetic": "genetic: all_seen", "down": "[IRF1, GBP1]"}[key]
            new = {"contexts": f"{value}\nperturbations", "genetic": value, "down": value}[key]
            assert old in text
            text = text.replace(old, new, 1)
        return load_screen(write(text), {})

    return load
