import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

from lingshu_core.checkpoint import load_header
from lingshu_core.gate import GateSettings
from lingshu_core.reveal import RevealSettings
from screening.models.card_measurement import CardRequest, make_cards
from screening.models.description import describe_model, render_description
from screening.models.model_card import ModelCard, read_card
from screening.training.training_request import train_model

Lingshu = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the small model, to write a card into."""
    shutil.copytree(tiny / "model", tmp_path / "model")
    return tmp_path / "model"


def request_of(model: Path, tiny: Path, **changes: Any) -> CardRequest:
    asked = CardRequest(
        str(model),
        (str(tiny / "cells.h5ad"),),
        conditions=False,
        sampler=RevealSettings(2),
        settings=GateSettings(pools=2, repeats=1, most_others=2),
        device="cpu",
    )
    return replace(asked, **changes)


def only(cards: tuple[tuple[str, ModelCard], ...]) -> ModelCard:
    ((_, card),) = cards
    return card


def test_a_card_leaves_the_model_as_it_is(model: Path, tiny: Path) -> None:
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    card = only(make_cards(request_of(model, tiny)))
    after = {file.name: file.read_bytes() for file in model.iterdir()}
    assert set(after) - set(before) == {"model_card.json", "model_card.md"}
    assert all(after[name] == data for name, data in before.items())
    header = load_header(str(model))
    assert card.model_digest == header.digest
    assert read_card(str(model), header.digest) == card


def test_gates_and_privacy_are_measured_on_the_cells_of_the_training(model: Path, tiny: Path) -> None:
    told: list[tuple[int, int]] = []
    card = only(make_cards(request_of(model, tiny), lambda done, of: told.append((done, of))))
    assert told[-1] == (9, 9)
    contexts = [tuple(gate["context"].values()) for gate in card.gates]
    assert ("type_1", "donor_1") in contexts
    assert () in contexts
    assert {gate["verdict"] for gate in card.gates} <= {"pass", "warn", "fail", "undecided"}
    measured = card.content["measured"]
    assert measured["of_training"] is True
    assert measured["sampler"] == {"steps": 2, "schedule": "geometric", "guidance": 0.0}
    privacy = card.content["privacy"]
    assert "no donor with at least 20 cells is held out" in privacy["membership"]["words"]
    assert privacy["duplicates"]["value"] is not None or "detected genes" in privacy["duplicates"]["words"]
    assert card.content["data"]["cells"] == 432
    assert "It has not been scored against baselines on held-out cells." in card.content["limits"]


def test_the_same_request_gives_the_same_card(model: Path, tiny: Path) -> None:
    first, again = (only(make_cards(request_of(model, tiny))) for _ in range(2))
    assert first == again
    unmeasured = only(make_cards(CardRequest(str(model), device="cpu")))
    assert unmeasured == first, "what is not measured again stays"


def test_a_card_without_cells_says_what_it_does_not_know(model: Path) -> None:
    card = only(make_cards(CardRequest(str(model), device="cpu")))
    assert card.gates == ()
    assert card.content["privacy"] is None
    assert "Whether its cells look like real ones was not measured." in card.content["limits"]
    assert "Not measured." in (model / "model_card.md").read_text()


def test_a_damaged_card_is_written_anew(model: Path) -> None:
    (model / "model_card.json").write_text("{")
    only(make_cards(CardRequest(str(model), device="cpu")))
    assert read_card(str(model), load_header(str(model)).digest) is not None


def test_perturbed_cells_have_gates_by_dose(model: Path, tiny: Path, tmp_path: Path) -> None:
    """Three times the cells of all contexts together: 48 of each perturbation, and 24 of each dose, which are few."""
    cells = anndata.read_h5ad(tiny / "cells.h5ad")
    many = anndata.concat([cells[cells.obs["perturbation"] != "REG05"]] * 3, index_unique="-")
    many.write_h5ad(tmp_path / "many.h5ad")
    asked = request_of(model, tiny, data=(str(tmp_path / "many.h5ad"),), conditions=True)
    card = only(make_cards(asked))
    perturbed = {gate["perturbation"] for gate in card.gates if gate["parts"]}
    assert {"REG04", "REG04+REG08", "DRUG01@0.1"} <= perturbed
    assert all(gate["trained"] for gate in card.gates)
    assert card.content["measured"]["of_training"] is False
    assert "which of them it has seen isn't known" in card.content["privacy"]["duplicates"]["words"]


def test_held_out_donors_make_privacy_measurable(write_train: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    """Six donors, of which two are held out."""
    cells = anndata.read_h5ad(tiny / "cells.h5ad")
    cells.obs["donor"] = [f"donor_{number % 6}" for number in range(cells.n_obs)]
    cells.write_h5ad(tmp_path / "six.h5ad")
    columns = {name: name for name in ("perturbation", "perturbation_type", "dose", "cell_type", "donor")}
    data = {"path": str(tmp_path / "six.h5ad"), "columns": columns, "context": ["cell_type"]}
    train_model(write_train(data=data, hold_out=[{"donor": ["donor_4", "donor_5"]}]))
    card = only(make_cards(request_of(tmp_path / "model", tiny, data=(str(tmp_path / "six.h5ad"),))))
    membership = card.content["privacy"]["membership"]
    assert membership["details"]["training_donors"] == 4
    assert membership["details"]["held_out_donors"] == 2
    assert 0 <= membership["value"] <= 1
    assert card.content["privacy"]["distance_ratio"]["value"] == pytest.approx(1.0, abs=0.3)
    unnamed = only(make_cards(request_of(tmp_path / "model", tiny, data=(str(tmp_path / "six.h5ad"),), donor="person")))
    assert "no column is named for 'person'" in unnamed.content["privacy"]["membership"]["words"]


def test_donors_of_another_file_are_held_out_too(model: Path, tiny: Path, tmp_path: Path) -> None:
    cells = anndata.read_h5ad(tiny / "cells.h5ad")
    cells.obs["donor"] = ["donor_8" if number % 2 else "donor_9" for number in range(cells.n_obs)]
    cells.X = cells.X[np.random.default_rng(0).permutation(cells.n_obs)]
    cells.write_h5ad(tmp_path / "strangers.h5ad")
    card = only(make_cards(request_of(model, tiny, strangers=(str(tmp_path / "strangers.h5ad"),))))
    assert card.content["privacy"]["membership"]["details"]["held_out_donors"] == 2


def test_every_member_of_an_ensemble_gets_a_card(tiny_ensemble: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_ensemble, tmp_path / "ensemble")
    cards = make_cards(CardRequest(str(tmp_path / "ensemble"), device="cpu"))
    assert [Path(folder).name for folder, _ in cards] == ["member-0", "member-1"]
    assert len({card.model_digest for _, card in cards}) == 2
    found = describe_model(str(tmp_path / "ensemble"))
    assert [card["model_digest"] for card in found["model_cards"]] == [card.model_digest for _, card in cards]


def test_the_command_prints_the_card_and_describe_shows_it(model: Path, tiny: Path, lingshu: Lingshu) -> None:
    options = ("--no-conditions", "--steps", 2, "--device", "cpu")
    code, text, _ = lingshu("card", model, "--data", tiny / "cells.h5ad", *options)
    assert code == 0
    assert "# Model card of" in text
    assert "## Gates" in text
    content = json.loads(lingshu("card", model, "--json")[1])
    assert content["gates"]
    found = describe_model(str(model))
    assert found["model_cards"][0]["gates"] == content["gates"]
    shown = render_description(found)
    for said in ("model card", "gates of controls", "  privacy", "  limit"):
        assert said in shown
    assert json.loads(lingshu("describe", model, "--json")[1])["model_cards"][0]["limits"] == content["limits"]


def test_a_retrained_model_has_no_card_of_the_old_one(
    write_train: Callable[..., Path], tmp_path: Path, lingshu: Lingshu
) -> None:
    train_model(write_train())
    make_cards(CardRequest(str(tmp_path / "model"), device="cpu"))
    train_model(write_train(), overrides={"seed": 5})
    assert not (tmp_path / "model" / "model_card.json").exists()
    assert not (tmp_path / "model" / "model_card.md").exists()
    assert "model card" in lingshu("describe", tmp_path / "model")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "nowhere.h5ad"), "nowhere.h5ad: no such file"),
        (("--evaluation", "nowhere"), "nowhere/evaluation.json: no results of an evaluation here"),
        (("--column", "donor"), "--column 'donor' must be NAME=VALUE"),
        (("--schedule", "cosinus"), "is not one of"),
    ],
)
def test_wrong_input_is_one_message(model: Path, lingshu: Lingshu, arguments: tuple[str, ...], said: str) -> None:
    code, _, error = lingshu("card", model, *arguments)
    assert code == 2
    assert said in " ".join(error.split())
    assert not (model / "model_card.json").exists()
