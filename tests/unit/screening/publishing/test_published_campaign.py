import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from screening.errors import ResultsError
from screening.planning.campaign import PlannedCampaign
from screening.publishing.published_campaign import plan_head, read_campaign
from screening.run import run_campaign

FEW: dict[str, Any] = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}


@pytest.fixture
def results(write_screen: Callable[..., Path], listener: Any, tmp_path: Path) -> Path:
    """The plain files of a screen, without the versions behind them."""
    run_campaign(write_screen(**FEW), listener)
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("hits.parquet", "manifest.json", "plan.json", "campaign.yaml"):
        (folder / name).write_bytes((tmp_path / "screen" / name).read_bytes())
    return folder


def test_the_head_of_a_plan_is_the_plan_without_its_lists(planned: PlannedCampaign) -> None:
    whole = planned.plan.as_json()
    head = json.loads(plan_head(planned.plan.to_json()))
    assert head == {name: whole[name] for name in whole if name not in ("conditions", "blocks")}


def test_a_folder_of_results_is_read(results: Path) -> None:
    found = read_campaign(str(results))
    assert found.hits.height == 2
    assert found.manifest["question"] == "SIMULATED_PROGRAM down (8 genes)"
    assert found.plan["objective"]["resolved"]["down"]
    assert "blocks" not in found.plan
    assert found.spec["estimator"]["shards"] == 16


@pytest.mark.parametrize("name", ["manifest.json", "plan.json", "campaign.yaml", "hits.parquet"])
def test_what_is_missing_is_named(results: Path, name: str) -> None:
    (results / name).unlink()
    with pytest.raises(ResultsError, match=f"no {name} here"):
        read_campaign(str(results))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", b"{", "not JSON"),
        ("manifest.json", b"[]", "not a JSON object"),
        ("manifest.json", b"{}", "not of a screen: it has no text 'run_id'"),
        ("plan.json", b'{"format": 1,\n"condi', "not JSON"),
        ("plan.json", b"{}", "it has no objective"),
        ("campaign.yaml", b"kind: [screen", "damaged"),
        ("campaign.yaml", b"kind: train\n", "not a `kind: screen` file"),
        ("hits.parquet", b"PAR1", "not a readable Parquet file"),
    ],
)
def test_what_is_damaged_is_named_in_one_line(results: Path, name: str, content: bytes, words: str) -> None:
    (results / name).write_bytes(content)
    with pytest.raises(ResultsError) as told:
        read_campaign(str(results))
    assert words in str(told.value)
    assert str(results) in str(told.value)
    assert "\n" not in str(told.value)
