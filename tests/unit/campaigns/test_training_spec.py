from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import SpecError, YamlError, load_training


@pytest.fixture
def load(write: Callable[..., Path], train_text: str) -> Callable[..., object]:
    def load_changed(old: str = "", new: str = "") -> object:
        assert old in train_text
        return load_training(write(train_text.replace(old, new, 1), "train.yaml"), {}).spec

    return load_changed


def test_a_training_file_is_read(write: Callable[..., Path], train_text: str) -> None:
    spec = load_training(write(train_text), {}).spec
    assert spec.hold_out == ({"batch": ("3", "4")}, {"cell_type": ("B cells",), "perturbation": ("STAT1",)})
    assert spec.data.factors == ("cell_type", "donor", "tissue")
    assert (spec.model.configuration, spec.training.batch_size, spec.licence) == ("direct", 64, "not stated")


def test_settings_of_the_model_keep_their_types(write: Callable[..., Path], train_text: str) -> None:
    text = train_text + "model: {configuration: tiny, overrides: {rank: 24, dropout: 0.5, pooled: true}}\n"
    overrides = load_training(write(text), {}).spec.model.overrides
    assert overrides == {"rank": 24, "dropout": 0.5, "pooled": True}
    assert [type(value) for value in overrides.values()] == [int, float, bool]


OUTPUT = "output: results/model\n"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("name: small\n", "", 1, "missing field 'name': Name of the model"),
        ("name: small", "name: a/b", 2, "name: the text 'a/b' isn't allowed: Name of the model: letters, digits"),
        ("name: small", "nam: small", 2, "nam: unknown key 'nam'; nearest: name"),
        ("path: cells.h5ad", "path: 3", 4, "data.path: must be text, not 3"),
        ("path: cells.h5ad", "path: ''", 4, "data.path"),
        ("perturbation: perturbation", "dose: dose", 5, "data.columns: missing field 'perturbation'"),
        ("donor: donor", "donor: [donor]", 8, "data.columns.donor: must be text, not a list"),
        (
            "tissue: my_tissue",
            "tisue: my_tissue",
            11,
            "data.context[2]: 'tissue' isn't named in data.columns; nearest: tisue",
        ),
        (", tissue]", "]", 10, "data.columns.tissue: 'tissue' is used neither in `context` nor to choose cells"),
        ("context: [cell_type", "context: [dose", 11, "data.context[0]: 'dose' describes the perturbation"),
        ("{batch: [3, ", "{bach: [3, ", 13, "hold_out[0].bach: column 'bach' isn't named in data.columns"),
        ("{batch: [3, ", "{batch: [3.5, ", 13, "hold_out[0].batch[0]: 3.5 isn't allowed: put the name into quotes"),
        ("{batch: [3, ", "{dose: [x, ", 13, "hold_out[0].dose[0]: 'x' isn't allowed: a dose is a number"),
        ('{batch: [3, "4"]}', "{}", 13, "hold_out[0]: matches every cell"),
        (OUTPUT, OUTPUT + "training: {seeds: 1}\n", 16, "training.seeds: must be greater than or equal to 2, not 1"),
        (OUTPUT, OUTPUT + "training: {seeds: [4]}\n", 16, "training.seeds: must have at least 2 entries"),
        (OUTPUT, OUTPUT + "training: {seeds: [4, 4]}\n", 16, "training.seeds[1]: 4 is listed twice"),
        (OUTPUT, OUTPUT + "training: {seeds: true}\n", 16, "must be a number of members, at least 2, or a list"),
        (OUTPUT, OUTPUT + "training: {seeds: [4, 5], seed: 1}\n", 16, "training.seed: `seeds` lists the seed"),
        (OUTPUT, OUTPUT + "model: {configuration: huge}\n", 16, "model.configuration: must be 'direct', 'tiny'"),
        (OUTPUT, OUTPUT + "model: {overrides: {rank: x}}\n", 16, "model.overrides.rank: must be a number"),
        (OUTPUT, OUTPUT + "training: {epochs: null}\n", 16, "training.epochs: must be a whole number"),
        (OUTPUT, OUTPUT + "training: {minutes: 0}\n", 16, "training.minutes: must be greater than 0, not 0"),
        (OUTPUT, OUTPUT + "training: {batch_size: 6.0}\n", 16, "training.batch_size: must be a whole number, not 6.0"),
        (OUTPUT, OUTPUT + "training: {resume: 1}\n", 16, "training.resume: must be true or false, not 1"),
        (OUTPUT, OUTPUT + "training: {resume: no}\n", 16, "training.resume: must be true or false, not the text 'no'"),
        (OUTPUT, OUTPUT + "training: {device: gpu}\n", 16, "training.device: the text 'gpu' isn't allowed: auto, cpu"),
        (OUTPUT, OUTPUT + "training: {seed: -1}\n", 16, "training.seed: must be greater than or equal to 0, not -1"),
        (OUTPUT, OUTPUT + "training: {validation_share: 0.9}\n", 16, "must be less than or equal to 0.5, not 0.9"),
        (OUTPUT, OUTPUT + "training: 3\n", 16, "training: must be a mapping (key: value lines), not 3"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_field(
    load: Callable[..., object], old: str, new: str, line: int, said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load(old, new)
    assert any(said in str(problem) and problem.line == line for problem in caught.value.problems), caught.value
    assert caught.value.file.endswith("train.yaml")


def test_independent_problems_are_told_together(write: Callable[..., Path], train_text: str) -> None:
    text = train_text.replace("name: small", "name: 3").replace("path:", "pth:") + "model: {configuration: huge}\n"
    with pytest.raises(SpecError) as caught:
        load_training(write(text), {})
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4, 16]


def test_a_broken_file_is_no_spec_error(write: Callable[..., Path]) -> None:
    with pytest.raises(YamlError):
        load_training(write("kind: train\nkind: train\n"))


@pytest.mark.parametrize(("text", "seeds"), [("5", 5), ("[3, 8]", (3, 8)), ("null", None)])
def test_seeds_are_a_number_or_a_list(write: Callable[..., Path], train_text: str, text: str, seeds: object) -> None:
    spec = load_training(write(train_text + f"training: {{seeds: {text}}}\n"), {}).spec
    assert spec.training.seeds == seeds


def test_a_baseline_takes_the_place_of_the_model(write: Callable[..., Path], train_text: str) -> None:
    text = train_text + "model: {kind: additive, weighting: cells, min_cells: 5}\n"
    model = load_training(write(text), {}).spec.model
    assert (model.kind, model.is_baseline, model.weighting, model.min_cells) == ("additive", True, "cells", 5)
    assert not load_training(write(train_text), {}).spec.model.is_baseline


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (
            "model: {kind: aditive}\n",
            "model.kind: must be 'lingshu', 'no_change', .* 'scvi' or 'plugin', not the text 'aditive'",
        ),
        ("model: {kind: additive, configuration: tiny}\n", "model.configuration: additive is a baseline and has no"),
        (
            "model: {kind: additive, overrides: {rank: 2}}\n",
            "model.overrides: additive is a baseline and has no network",
        ),
        ("model: {weighting: cells}\n", "model.weighting: lingshu has no use for this; it is for perturbation_mean"),
        ("model: {kind: nearest_context, weighting: cells}\n", "model.weighting: nearest_context has no use for this"),
        (
            "model: {kind: low_rank, min_cells: 3}\n",
            "model.min_cells: low_rank has no use for this; it is for .*, nearest",
        ),
        ("model: {kind: additive, min_cells: 0}\n", "model.min_cells: must be greater than or equal to 1, not 0"),
        ("model: {kind: knn}\n", "model.kind: knn predicts from features of perturbations; describe them in"),
        ("model: {kind: additive}\ntraining: {seeds: 3}\n", "training.seeds: additive is a baseline and isn't trained"),
        ("model: {kind: additive}\ntraining: {epochs: 3}\n", "training.epochs: additive is .* fitted in one pass"),
        (
            "model: {kind: scvi}\ntraining: {patience: 3}\n",
            "training.patience: scvi is .*; scvi has epochs, batch_size",
        ),
    ],
)
def test_what_means_nothing_for_a_baseline_is_refused(
    write: Callable[..., Path], train_text: str, added: str, said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        load_training(write(train_text + added), {})


def test_what_a_trained_baseline_has_is_allowed(write: Callable[..., Path], train_text: str) -> None:
    text = train_text + "model: {kind: scvi}\ntraining: {epochs: 5, seed: 3, batch_size: 128, device: cpu}\n"
    assert load_training(write(text), {}).spec.training.epochs == 5


def test_a_baseline_learns_nothing_from_an_atlas(write: Callable[..., Path], train_text: str) -> None:
    atlas = train_text.replace("perturbation: perturbation", "perturbation: null", 1)
    with pytest.raises(SpecError, match=r"data\.columns\.perturbation: additive learns from perturbed cells; name the"):
        load_training(write(atlas + "model: {kind: additive}\n"), {})


def test_pseudo_perturbations_are_asked_for(write: Callable[..., Path], train_text: str) -> None:
    assert load_training(write(train_text), {}).spec.pseudo_perturbations is None
    asked = load_training(write(train_text + "pseudo_perturbations: {groups: 30}\n"), {}).spec.pseudo_perturbations
    assert asked is not None
    assert (asked.groups, asked.seed) == (30, 0)


def test_groups_by_a_column_outlive_being_written_out(write: Callable[..., Path], train_text: str) -> None:
    path = write(train_text + "pseudo_perturbations: {by: [cell_type]}\n")
    asked = load_training(path, {"output": "elsewhere"}).spec.pseudo_perturbations
    assert asked is not None
    assert (asked.by, asked.minimum_cells) == (("cell_type",), 10)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("pseudo_perturbations: {groups: 1}\n", "greater than or equal to 2"),
        ("model: {kind: additive}\npseudo_perturbations: {}\n", "additive is a baseline and learns no labels"),
        ("pseudo_perturbations: {by: guide}\n", "'guide' isn't named in data.columns"),
        ("pseudo_perturbations: {by: perturbation}\n", "'perturbation' doesn't tell control cells apart"),
        ("pseudo_perturbations: {by: cell_type, groups: 30}\n", "leave one of them out"),
        ("pseudo_perturbations: {minimum_cells: 5}\n", "random groups have the sizes of perturbations"),
        ("pseudo_perturbations: {by: [cell_type, cell_type]}\n", "listed twice"),
    ],
)
def test_pseudo_perturbations_that_mean_nothing(
    write: Callable[..., Path], train_text: str, more: str, said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load_training(write(train_text + more), {})
    assert said in str(caught.value)
