from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.errors import EnsembleError, SpecError
from screening.training.training_request import train_model, train_spec, training_of

WriteTrain = Callable[..., Path]


def test_what_the_command_line_gives_stands_in_for_the_file(write_train: WriteTrain, tmp_path: Path) -> None:
    spec, config, _ = training_of(
        write_train(), {"output": str(tmp_path / "there"), "seed": 9, "workers": None, "epochs": 2}
    )
    assert spec.output == str(tmp_path / "there")
    assert (spec.training.workers, config.seed) == (0, 9)
    assert (spec.training.epochs, config.epochs) == (2, 2)


def test_a_wrong_value_of_the_command_line_is_told_as_one(write_train: WriteTrain) -> None:
    with pytest.raises(SpecError, match=r"command line \(--workers\)"):
        training_of(write_train(), {"workers": -1})


def test_an_ensemble_is_sent_to_its_own_function(write_train: WriteTrain) -> None:
    with pytest.raises(EnsembleError, match="describes an ensemble"):
        train_model(write_train(training={"seeds": 2}))


def test_a_baseline_is_sent_to_its_own_function(write_train: WriteTrain) -> None:
    spec, config, _ = training_of(write_train(model={"kind": "additive"}, training={}), {})
    with pytest.raises(SpecError, match="additive is a baseline"):
        train_spec(spec, config)
