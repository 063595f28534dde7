from collections.abc import Callable
from pathlib import Path

import anndata
import pytest

from screening import doctor
from screening.doctor import Check, examine


def verdicts(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def test_a_machine_is_looked_at_without_a_campaign() -> None:
    found = verdicts(examine(None))
    assert {"python", "ray", "torch", "gpu", "disk", "S3 credentials"} <= set(found)
    assert "campaign" not in found
    assert found["torch"] == "good"


def test_a_package_that_is_not_there_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("no-such-package-anywhere",))
    (check,) = [each for each in examine(None) if each.name == "no-such-package-anywhere"]
    assert (check.verdict, check.finding[:13]) == ("bad", "not installed")


def test_a_full_disk_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_SMALLEST_FREE", 10**18)
    assert verdicts(examine(None))["disk"] == "bad"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-that-nobody-may-see")
    (check,) = [each for each in examine(None) if each.name == "S3 credentials"]
    assert check.finding == "set"


def test_what_a_screen_needs_is_tried(write_screen: Callable[..., Path]) -> None:
    checks = examine(write_screen())
    found = verdicts(checks)
    assert (found["campaign"], found["model"], found["output"]) == ("good", "good", "good")
    (model,) = [check.finding for check in checks if check.name == "model"]
    assert "40 genes, 4 contexts" in model


def test_what_an_evaluation_needs_is_tried(write_evaluation: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    models = [
        {"name": "a"},
        {"name": "b", "checkpoint": str(tiny / "model")},
        {"name": "c", "checkpoint": str(tmp_path / "none")},
    ]
    checks = {check.name: check for check in examine(write_evaluation(models=models))}
    assert checks["data"].finding.startswith("432 cells (160 controls), 40 genes")
    assert (checks["model b"].verdict, checks["model c"].verdict) == ("good", "bad")
    assert "model a" not in checks
    assert checks["output"].verdict == "good"


def test_what_a_training_needs_is_tried(write_train: Callable[..., Path]) -> None:
    (data,) = [check for check in examine(write_train()) if check.name == "data"]
    assert data.verdict == "good"
    assert "40 genes" in data.finding


def test_what_is_wrong_is_told_and_the_rest_still_tried(write_screen: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = verdicts(examine(write_screen(model=str(tmp_path / "none"), output=str(tmp_path / "file" / "x"))))
    assert (found["campaign"], found["model"], found["output"]) == ("good", "bad", "bad")


def test_a_file_that_is_no_campaign_is_bad(tmp_path: Path) -> None:
    assert verdicts(examine(tmp_path / "none.yaml"))["campaign"] == "bad"


def test_gpus_that_are_not_there_are_bad(write_screen: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = verdicts(examine(write_screen(compute={"backend": "ray", "gpus_per_replica": 1})))
    assert found["compute"] == "bad"


def test_a_model_out_of_reach_is_bad_and_no_crash(
    write_screen: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exceptions = pytest.importorskip("botocore.exceptions", reason="s3fs brings botocore")

    def out_of_reach(*arguments: object) -> None:
        raise exceptions.NoCredentialsError()

    monkeypatch.setattr(doctor, "load_checkpoint", out_of_reach)
    (model,) = [check for check in examine(write_screen()) if check.name == "model"]
    assert (model.verdict, model.finding) == ("bad", "Unable to locate credentials")


def test_a_mistake_of_ours_is_not_taken_for_a_finding(
    write_screen: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(doctor, "load_checkpoint", broken)
    with pytest.raises(ZeroDivisionError):
        examine(write_screen())


def _with_plate(folder: Path, plate: Callable[[str], str]) -> Path:
    """Write the small simulation's cells with a column that no file names."""
    cells = anndata.read_h5ad(folder / "cells.h5ad")
    cells.obs["plate"] = [plate(str(label)) for label in cells.obs["perturbation"]]
    cells.write_h5ad(folder / "plates.h5ad")
    return folder / "plates.h5ad"


def test_a_factor_that_gives_the_perturbation_away_is_a_warning(
    tiny: Path, write_train: Callable[..., Path], lingshu: Callable[..., tuple[int, str, str]]
) -> None:
    columns = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
    path = _with_plate(tiny, lambda label: "first" if label == "control" else "second")
    training = write_train(data={"path": str(path), "columns": {name: name for name in columns}})
    (found,) = [check for check in examine(training) if check.name == "confounding"]
    assert found.verdict == "warn"
    assert "'plate'" in found.finding
    code, out, _ = lingshu("doctor", training)
    assert code == 0  # it can be trained on all the same
    assert "warn" in out


def test_where_nothing_goes_with_the_perturbation_it_is_said(write_train: Callable[..., Path]) -> None:
    (found,) = [check for check in examine(write_train()) if check.name == "confounding"]
    assert (found.verdict, found.finding) == ("good", "no column of obs goes with the perturbation")


def test_files_that_are_not_there_are_told_once(write_train: Callable[..., Path], tmp_path: Path) -> None:
    columns = {"perturbation": "perturbation"}
    checks = examine(write_train(data={"path": str(tmp_path / "none.h5ad"), "columns": columns}))
    assert [check.name for check in checks if check.verdict == "bad"] == ["data"]


def test_the_groups_of_a_reference_are_looked_at(tiny: Path, write_screen: Callable[..., Path]) -> None:
    path = _with_plate(tiny, lambda label: "first" if label == "control" else "second")
    reference = {
        "mode": "mimic",
        "data": {"path": str(path), "columns": {"perturbation": "perturbation"}},
        "from": {"perturbation": "control"},
        "to": {"perturbation": "REG04"},
    }
    (found,) = [
        check
        for check in examine(write_screen(objective={"kind": "signature", "reference": reference}))
        if check.name == "confounding"
    ]
    assert found.verdict == "warn"
    assert "'plate'" in found.finding
