import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaigns.errors import EnsembleError
from lingshu_core.errors import CheckpointError
from screening.doctor import examine
from screening.planning.campaign import load_campaign, plan_campaign
from screening.planning.validation import validate_campaign
from screening.training.training_request import train_model

WriteScreen = Callable[..., Path]


@pytest.fixture
def copied(tiny_ensemble: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_ensemble, tmp_path / "copied"))


def both(ensemble: Path) -> list[str]:
    return [str(ensemble / "member-0"), str(ensemble / "member-1")]


def test_a_folder_and_a_list_are_the_same_ensemble(write_screen: WriteScreen, tiny_ensemble: Path) -> None:
    folder, listed, turned = (
        plan_campaign(load_campaign(write_screen(model=model)))
        for model in (str(tiny_ensemble), both(tiny_ensemble), both(tiny_ensemble)[::-1])
    )
    assert folder.plan.run_id == listed.plan.run_id == turned.plan.run_id
    assert folder.campaign.digest == listed.campaign.digest == turned.campaign.digest
    assert [member.name for member in folder.campaign.members] == ["member-0", "member-1"]
    assert [member.name for member in listed.campaign.members] == both(tiny_ensemble)
    assert folder.facts.model_digest == folder.campaign.digest != folder.campaign.model.digest
    assert folder.facts.paths == "bias+tilt+pooled+depth+self"


def test_a_single_model_is_planned_as_ever(write_screen: WriteScreen, tiny: Path) -> None:
    one, listed = (
        plan_campaign(load_campaign(write_screen(model=model))) for model in (str(tiny / "model"), [f"{tiny}/model"])
    )
    assert one.plan.members == listed.plan.members == ()
    assert one.plan.as_json() == listed.plan.as_json()
    assert one.campaign.digest == one.campaign.model.digest


def test_members_trained_on_other_cells_are_refused(
    write_screen: WriteScreen, write_train: Callable[..., Path], tiny_ensemble: Path, tmp_path: Path
) -> None:
    quick = {"epochs": 1, "device": "cpu"}
    train_model(write_train(training=quick, hold_out=[{"perturbation": "REG05"}]))
    path = write_screen(model=[both(tiny_ensemble)[0], str(tmp_path / "model")])
    line = path.read_text().splitlines().index(f"- {tmp_path / 'model'}") + 1
    with pytest.raises(EnsembleError, match=rf"yaml:{line}: model\[1\]: the vocabulary .* isn't that of .*member-0"):
        load_campaign(path)
    with pytest.raises(EnsembleError, match=r"the vocabulary of .* isn't that of"):
        list(validate_campaign(path))
    checks = {check.name: check for check in examine(path)}
    assert checks["model"].verdict == "bad"


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("gene panel", {"genes": ("X", "Y")}),
        ("context factors", {"factors": {"cell_type": ("other",)}}),
        ("control label", {"control": "NT"}),
    ],
)
def test_what_members_have_to_share_is_named(part: str, change: dict[str, Any], tiny: Path) -> None:
    from dataclasses import replace

    from lingshu_core.checkpoint import load_header
    from screening.planning.members import ALIKE

    header = load_header(str(tiny / "model"))
    other = replace(header, vocabulary=replace(header.vocabulary, **change))
    assert next(what for what, of in ALIKE.items() if of(other) != of(header)) == part
    assert all(of(header) == of(header) for of in ALIKE.values())


def test_the_same_cells_are_told_by_their_digest(tiny: Path) -> None:
    from dataclasses import replace

    from lingshu_core.checkpoint import load_header
    from screening.planning.members import ALIKE

    header = load_header(str(tiny / "model"))
    other = replace(header, card={**header.card, "data_digest": "other"})
    assert [what for what, of in ALIKE.items() if of(other) != of(header)] == ["training data"]


def test_a_model_is_no_member_twice(write_screen: WriteScreen, tiny_ensemble: Path, copied: Path) -> None:
    place = both(tiny_ensemble)[0]
    with pytest.raises(EnsembleError, match=r"model\[1\]: .* is the same model as"):
        load_campaign(write_screen(model=[place, f"{place}/"]))
    with pytest.raises(EnsembleError, match=r"model\[2\]: .* is the same model as"):
        load_campaign(write_screen(model=[*both(tiny_ensemble), both(copied)[1]]))


def test_an_ensemble_in_a_list_is_refused(write_screen: WriteScreen, tiny_ensemble: Path) -> None:
    path = write_screen(model=[both(tiny_ensemble)[0], str(tiny_ensemble)])
    for read in (load_campaign, lambda path: list(validate_campaign(path))):
        with pytest.raises(EnsembleError, match=r"model\[1\]: .* is an ensemble; give it alone"):
            read(path)


def test_a_member_that_was_exchanged_is_refused(write_screen: WriteScreen, tiny: Path, copied: Path) -> None:
    shutil.rmtree(copied / "member-1")
    shutil.copytree(copied / "member-0", copied / "member-1")
    with pytest.raises(EnsembleError, match=r"model: member-1 is .* and ensemble\.json lists .* trained again or"):
        load_campaign(write_screen(model=str(copied)))


def test_a_member_that_is_gone_is_an_error_of_the_checkpoint(write_screen: WriteScreen, copied: Path) -> None:
    shutil.rmtree(copied / "member-1")
    with pytest.raises(CheckpointError, match="member-1: no checkpoint here"):
        load_campaign(write_screen(model=str(copied)))
    assert "no model in" in list(validate_campaign(write_screen(model=str(copied))))[1]


def test_an_ensemble_is_validated_without_its_weights(write_screen: WriteScreen, tiny_ensemble: Path) -> None:
    found = list(validate_campaign(write_screen(model=str(tiny_ensemble))))
    assert any(line.startswith("an ensemble of 2 members") for line in found)
    assert "24 conditions, 2 of them controls" in found


def test_the_doctor_looks_at_every_member(write_screen: WriteScreen, tiny_ensemble: Path) -> None:
    checks = [check for check in examine(write_screen(model=str(tiny_ensemble))) if check.name.startswith("model")]
    assert [(check.name, check.verdict) for check in checks] == [
        ("model", "good"),
        ("model member-0", "good"),
        ("model member-1", "good"),
    ]
    assert "an ensemble of 2 members" in checks[0].finding
