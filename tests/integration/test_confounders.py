"""Real cells: what gives the perturbation away is found and named."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmarks.quickstart import __file__ as benchmark
from screening.doctor import Check, examine

pytestmark = pytest.mark.data
ROOT = Path(benchmark).parents[1]
DATA = Path(os.environ.get("LINGSHU_DATA") or ROOT / "../shared/data").resolve()
NORMAN = {
    "kind": "train",
    "name": "norman",
    "data": {
        "path": str(DATA / "norman2019_mcfaline2023_devel_500.h5ad"),
        "columns": {
            **{role: role for role in ("perturbation", "perturbation_type", "cell_type")},
            **{"method": "perturbation_method", "depth": "n_counts_all_genes"},
        },
        "context": ["cell_type"],
    },
    "output": "model",
}


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[Check]]:
    if not DATA.exists():
        pytest.skip("the real data are not here: set LINGSHU_DATA to the folder with the data sets")
    monkeypatch.setenv("LINGSHU_DATA", str(DATA))
    return lambda path: [check for check in examine(path) if check.name == "confounding"]


def test_the_batch_of_kang_is_the_stimulation(findings: Callable[[Path], list[Check]]) -> None:
    (found,) = findings(ROOT / "campaigns/examples/kang/train.yaml")
    assert found.verdict == "warn"
    assert found.finding.startswith("'batch' and whether a cell is perturbed determine one another")
    assert "1,399 cells" in found.finding


def test_the_lines_of_norman_are_the_methods(findings: Callable[[Path], list[Check]], tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(NORMAN))
    found = findings(tmp_path / "train.yaml")
    warned = [each.finding for each in found if each.verdict == "warn"]
    assert any(each.startswith("'cell_type' determines 'method'") for each in warned)
    assert any(each.startswith("'batch' and 'method' determine one another") for each in warned)


def test_the_replicates_of_papalexi_give_nothing_away(findings: Callable[[Path], list[Check]]) -> None:
    (found,) = findings(ROOT / "campaigns/examples/papalexi/train.yaml")
    assert found.verdict == "good"
