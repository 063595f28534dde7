from pathlib import Path
from typing import Any

import polars as pl
import pytest

from screening.following_up.campaign_differences import Difference, differences
from screening.publishing.published_campaign import PublishedCampaign


def campaign(model: str = "nowhere", digest: str = "a" * 64, **changes: Any) -> PublishedCampaign:
    hits = pl.DataFrame({"perturbation": ["A"], "context": ["T"], "status": ["done"], "gate": ["pass"]})
    manifest = {"model_digest": digest, "versions": {"torch": "2.0"}, "model_card": None}
    return PublishedCampaign(
        url=model,
        hits=changes.get("hits", hits),
        manifest=manifest | changes.get("manifest", {}),
        plan={"seed": 0, "shards": 8} | changes.get("plan", {}),
        spec={"model": model, "estimator": {"steps": 6, "kind": "sampled"}} | changes.get("spec", {}),
    )


def test_campaigns_that_are_alike_have_no_difference() -> None:
    assert differences(campaign(), campaign()) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"spec": {"estimator": {"steps": 3, "kind": "sampled"}}}, Difference("estimator.steps", "6", "3")),
        ({"spec": {"hits": {"fdr": 0.05}}}, Difference("hits", "", "fdr 0.05")),
        ({"plan": {"seed": 1}}, Difference("seed", "0", "1")),
        ({"manifest": {"versions": {"torch": "2.1"}}}, Difference("versions.torch", "2.0", "2.1")),
        ({"manifest": {"model_card": "c" * 64}}, Difference("gates.card", "", "c" * 12)),
        (
            {"manifest": {"null": [{"context": "T", "blocks": 20, "centre": 0.1, "sd": 0.2, "minimum_effect": 0.3}]}},
            Difference("null.T", "", "blocks 20, centre 0.1, sd 0.2, minimum_effect 0.3"),
        ),
        (
            {"plan": {"control_sets": [{"context": {"cell_type": "T"}, "digest": "d" * 64}]}},
            Difference("control cells.cell_type=T", "", "d" * 12),
        ),
    ],
)
def test_what_differs_is_named(changes: dict[str, Any], expected: Difference) -> None:
    assert expected in differences(campaign(), campaign(**changes))


def test_grids_and_gates_are_counted() -> None:
    more = pl.DataFrame(
        {"perturbation": ["A", "B"], "context": ["T", "T"], "status": ["done", "failed"], "gate": ["pass", "warn"]}
    )
    found = {each.what: (each.a, each.b) for each in differences(campaign(), campaign(hits=more))}
    assert found["grid.conditions"] == ("1", "2")
    assert found["grid.failed"] == ("0", "1")
    assert found["gates.warn"] == ("", "1")


def test_the_training_of_a_model_that_is_there_is_looked_up(tiny: Path) -> None:
    from lingshu_core.checkpoint import load_header

    place = str(tiny / "model")
    there = campaign(place, load_header(place).digest)
    assert differences(there, there) == ()
    gone = {each.what: each for each in differences(there, campaign())}
    assert gone["model.training"].a == "known"
    assert gone["model.training"].b.startswith("not known: nowhere: no checkpoint here")
    assert set(gone) == {"model", "model.digest", "model.training"}
    exchanged = {each.what: each for each in differences(there, campaign(place, "b" * 64))}
    assert exchanged["model.training"].b == "not known: another model lies there by now"


def test_two_trainings_are_compared_setting_by_setting(tiny: Path, tiny_ensemble: Path) -> None:
    from lingshu_core.checkpoint import load_header
    from screening.planning.ensemble_file import read_ensemble

    place = str(tiny / "model")
    members = read_ensemble(str(tiny_ensemble))
    assert members is not None
    listed = {"members": [{"name": each.folder, "digest": each.digest} for each in members]}
    ensemble = campaign(str(tiny_ensemble), "e" * 64, manifest=listed)
    found = {each.what: (each.a, each.b) for each in differences(campaign(place, load_header(place).digest), ensemble)}
    assert "model.members" in found
    assert not any(name.startswith("model.configuration") for name in found)
    other = campaign(f"{tiny_ensemble}/{members[1].folder}", members[1].digest)
    first = campaign(f"{tiny_ensemble}/{members[0].folder}", members[0].digest)
    assert {each.what for each in differences(first, other)} == {"model", "model.digest", "model.training.seed"}
