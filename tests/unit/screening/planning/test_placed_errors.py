"""Errors of readers that know no YAML get a place in it."""

import pytest

from actors.errors import ActorsError
from campaigns.yaml_source import Source, parse_yaml
from lingshu_core.errors import (
    CheckpointError,
    ConfigurationError,
    DataError,
    LingshuCoreError,
    MissingColumn,
    SplitError,
)
from screening.errors import ObjectiveError, ResultsError
from screening.planning.placed_errors import data_block, placing

TRAIN = b"""kind: train
data:
  path: cells.h5ad
  control: NT
  columns:
    perturbation: guide_target
    donor: patient
hold_out:
  - {donor: [d1, d9]}
  - {cell_type: B}
model: {overrides: {wide: 2}}
split: {kind: random}
output: out
"""
SCREEN = b"""kind: screen
model: model
objective:
  reference:
    data:
      path: cells.h5ad
      columns: {perturbation: label}
    to: {perturbation: A}
"""


def told(content: bytes, error: Exception) -> str:
    """Say what becomes of an error."""
    source = parse_yaml(content, "x.yaml")
    block = data_block(source) if content is SCREEN else ("data",)
    with pytest.raises(type(error)) as caught, placing(source, block):
        raise error
    assert caught.value is error
    return str(error)


CASES = {
    "a field by its path": (TRAIN, MissingColumn("obs has no column (data.columns.donor)"), "7: data.columns.donor"),
    "a field that the file lacks": (TRAIN, DataError("name it with data.layer"), "2: data"),
    "a column": (TRAIN, DataError("c.h5ad: obs['patient'] has 3"), "7: data.columns.donor"),
    "a column that is a context": (TRAIN, DataError("c.h5ad: 3 cells have no 'donor', which"), "7: data.columns.donor"),
    "a column of another role": (TRAIN, DataError("c.h5ad: obs['sex'] has 3"), "3: data.path"),
    "a layer": (TRAIN, MissingColumn("c.h5ad: layer 'raw' is not in the file"), "2: data"),
    "a value": (TRAIN, MissingColumn("c.h5ad: no cell has donor 'd9'; there are"), "9: hold_out[0].donor[1]"),
    "a value of a mapping": (TRAIN, MissingColumn("c.h5ad: no cell has cell_type 'B'"), "10: hold_out[1].cell_type"),
    "a block": (TRAIN, DataError("hold_out leaves no perturbed cells"), "8: hold_out"),
    "the cells": (TRAIN, DataError("c.h5ad: no such file"), "3: data.path"),
    "the output": (TRAIN, ResultsError("out: can't be written; correct `output:`"), "13: output"),
    "a setting": (TRAIN, ConfigurationError("'direct' has no setting 'wide'; it has"), "11: model.overrides.wide"),
    "a split": (TRAIN, SplitError("too few groups"), "12: split"),
    "a model": (SCREEN, CheckpointError("model: no checkpoint here"), "2: model"),
    "a reference's cells": (SCREEN, DataError("c.h5ad: no such file"), "6: objective.reference.data.path"),
    "a reference's group": (
        SCREEN,
        MissingColumn("no cell has perturbation 'A'"),
        "8: objective.reference.to.perturbation",
    ),
    "an objective": (SCREEN, ObjectiveError("objective: the groups do not differ"), "3: objective"),
}


@pytest.mark.parametrize(("content", "error", "place"), CASES.values(), ids=CASES)
def test_an_error_gets_its_place(content: bytes, error: Exception, place: str) -> None:
    text = str(error)
    assert told(content, error) == f"x.yaml:{place}: {text}"


@pytest.mark.parametrize(
    "error",
    [
        DataError("x.yaml:3: data.path: has its place already"),
        DataError("command line (--layer): data.layer"),
        LingshuCoreError("something of no field"),
        ActorsError("data.path"),
    ],
)
def test_what_has_a_place_or_none_stays_as_it_is(error: Exception) -> None:
    text = str(error)
    assert told(TRAIN, error) == text


def test_without_lines_the_field_is_named() -> None:
    with pytest.raises(DataError, match=r"^spec: data\.path: c\.h5ad: no such file"), placing(Source("spec")):
        raise DataError("c.h5ad: no such file")
