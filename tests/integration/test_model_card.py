"""Gates and privacy on real cells: what is real passes, what is wrong fails, what is copied is found."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.quickstart import __file__ as benchmark
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.gate import GateSettings, judge_cells
from lingshu_core.privacy import DonorCells, measure_privacy
from screening.models.card_measurement import CardRequest, make_cards
from screening.training.training_request import train_model

pytestmark = pytest.mark.data
DATA = Path(os.environ.get("LINGSHU_DATA") or Path(benchmark).parents[1] / "../shared/data")
FILE = DATA / "kang2018_control_8donors_1287.h5ad"
ROLES = {"cell_type": "cell_type", "donor": "donor"}
HELD_OUT = ["donor_1016", "donor_1244"]


@pytest.fixture(scope="module")
def controls() -> Cells:
    """Untreated blood cells of eight donors."""
    if not FILE.exists():
        pytest.skip(f"the real data are not here: set LINGSHU_DATA to the folder with {FILE.name}")
    return read_cells(CellSource(str(FILE), ROLES, ("cell_type", "donor")))


def rows_of(cells: Cells, **factors: str) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.flatnonzero(cells.matching(factors)))


def test_real_cells_pass_and_those_of_another_type_fail(controls: Cells) -> None:
    types = ("B cells", "CD4 T cells", "CD14+ Monocytes", "NK cells")
    own = {name: controls.counts[rows_of(controls, cell_type=name, donor="donor_1256")] for name in types}
    verdicts: Counter[str] = Counter()
    for name in types:
        others = [cells for other, cells in own.items() if other != name]
        half = own[name].shape[0] // 2
        verdicts[judge_cells(own[name][half:], own[name][:half], others).verdict] += 1
        wrong = judge_cells(others[0], own[name], others)
        assert wrong.verdict == "fail", name
    assert verdicts == {"pass": len(types)}


def test_copies_of_training_cells_are_found_and_other_donors_are_not(controls: Cells) -> None:
    donors = sorted(set(controls.obs["donor"]))
    donor = controls.obs["donor"].to_numpy()
    sides = [controls.select(np.isin(donor, group)) for group in (donors[:3], donors[3:6], donors[6:])]
    training, held_out, others = (DonorCells.of(side, "donor") for side in sides)
    copied = measure_privacy(training.counts[:600], training, held_out)
    assert copied.duplicates.value == 600
    assert copied.membership.value == 1.0
    assert copied.distance_ratio.alarm
    independent = measure_privacy(others.counts[:600], training, held_out)
    assert independent.duplicates.value == 0
    assert not independent.distance_ratio.alarm
    assert independent.membership.details["of_cells"] == pytest.approx(0.5, abs=0.06)


def test_a_model_of_six_donors_gets_its_card(controls: Cells, tmp_path: Path) -> None:
    data: dict[str, Any] = {"path": str(FILE), "columns": {"perturbation": None, **ROLES}, "context": ["cell_type"]}
    training = {"epochs": 1, "learning_rate": 0.002, "device": "cpu"}
    content = {
        "kind": "train",
        "name": "controls",
        "data": data,
        "hold_out": [{"donor": HELD_OUT}],
        "training": training,
        "output": str(tmp_path / "model"),
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
    train_model(tmp_path / "train.yaml")
    settings = GateSettings(pools=4, repeats=1, most_others=3)
    ((_, card),) = make_cards(CardRequest(str(tmp_path / "model"), (str(FILE),), settings=settings, device="cpu"))
    assert card.content["measured"]["of_training"] is True
    decided = [gate for gate in card.gates if gate["verdict"] in ("pass", "warn", "fail")]
    assert len(decided) >= 7
    assert all(gate["compared"] >= 20 for gate in decided)
    privacy = card.content["privacy"]
    assert privacy["membership"]["details"]["held_out_donors"] == len(HELD_OUT)
    assert privacy["duplicates"]["value"] == 0
    assert not privacy["distance_ratio"]["alarm"]
