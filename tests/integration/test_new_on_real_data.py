"""`lingshu new` on real data: what it finds there, and files that validate as they are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.source import load_training

pytestmark = pytest.mark.data
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("LINGSHU_DATA") or ROOT / "../shared/data").resolve()
FOUND = {
    "kang2018_ifnb_pbmc": (
        {"cell_type", "donor", "perturbation_type"},
        ("cell_type", "donor"),
        "to: {perturbation: IFNB1",
    ),
    "papalexi2021_thp1_crispr_299": ({"cell_type", "guide", "batch"}, ("cell_type",), "by: [guide, batch]"),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_campaign_for_real_cells_is_valid_at_once(
    name: str, lingshu: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    data = DATA / f"{name}.h5ad"
    if not data.exists():
        pytest.skip("the real data are not here: set LINGSHU_DATA to the folder with the data sets")
    columns, context, text = FOUND[name]
    assert lingshu("new", data, tmp_path / "first")[::2] == (0, "")
    for file in ("train.yaml", "screen.yaml"):
        assert lingshu("validate", tmp_path / "first" / file)[::2] == (0, ""), file
    spec = load_training(tmp_path / "first" / "train.yaml", {}).spec
    assert columns <= set(spec.data.columns.named)
    assert (spec.data.factors, spec.data.control) == (context, "control")
    assert text in "".join(each.read_text() for each in (tmp_path / "first").glob("*.yaml"))
