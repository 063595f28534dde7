from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaigns.errors import SpecError
from campaigns.generation_spec import GenerateSpec
from campaigns.source import dump_spec, load_generation
from campaigns.validation import validate
from campaigns.yaml_source import Source, parse_yaml

Write = Callable[..., Path]
START = {"path": "real.h5ad", "keep": 0.3}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a request; `write(cells=3)` changes one field."""

    def make(**changes: Any) -> Path:
        content = {"kind": "generate", "model": "model", "output": "cells.h5ad", **changes}
        path = tmp_path / "generate.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return make


def test_a_model_and_an_output_are_enough(write: Write) -> None:
    spec = load_generation(write()).spec
    assert (spec.cells, spec.perturbation, spec.start) == (None, None, None)
    assert spec.left_out == "proportional"


def test_factors_left_out_stay_open_where_real_cells_are_given(write: Write) -> None:
    assert load_generation(write(start=START)).spec.left_out == "unspecified"
    assert load_generation(write(start=START, contexts="proportional")).spec.left_out == "proportional"


def test_a_request_survives_being_written(write: Write) -> None:
    start = START | {"where": {"donor": ["D1", 2]}, "columns": {"cell_type": "type"}}
    spec = load_generation(write(start=start, context={"donor": 7}, cells=12)).spec
    assert spec.context == {"donor": "7"}
    assert validate(GenerateSpec, parse_yaml(dump_spec(spec).encode(), "again.yaml")) == spec


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": "cells.zarr"}, "must end with .h5ad"),
        ({"start": START | {"keep": 1.5}}, "start.keep: must be less than or equal to 1"),
        ({"start": {"path": "real.h5ad"}}, "missing field 'keep'"),
        ({"start": START | {"path": "cells.h5ad"}}, "is the file of the start cells"),
        ({"start": START | {"where": {}}}, "matches every cell"),
        ({"start": START | {"columns": {"donor": "d"}}, "context": {"donor": "D1"}}, "leave one out"),
        ({"output_genes": "cells"}, "needs `orthologs`"),
        ({"orthologs": {"file": "o.csv", "cells": "gene", "model": "gene"}}, "column of the cells' genes too"),
        ({"contexts": "all_seen"}, "must be 'proportional' or 'unspecified'"),
        ({"cells": 0}, "cells: must be greater than or equal to 1"),
        ({"sampler": {"step": 3}}, "nearest: steps"),
        ({"sampler": {"name": "paper", "schedule": "geometric"}}, "the published sampler has schedule: cosine"),
        ({"sampler": {"name": "paper"}, "perturbation": "IFNB1"}, "2 for genetic and 3 for cytokine"),
        ({"model": "s3://key:secret@bucket/model"}, "credentials in the environment"),
    ],
)
def test_mistakes_are_told(write: Write, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_generation(write(**changes))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "generate.yaml:" in str(caught.value)


def test_another_kind_is_sent_to_its_command(write: Write) -> None:
    with pytest.raises(SpecError, match="use `lingshu train`"):
        load_generation(write(kind="train"))


def test_options_without_lines_are_named_by_field() -> None:
    data = {"kind": "generate", "model": "m", "output": "c.h5ad", "sampler": {"steps": 0}}
    with pytest.raises(SpecError, match=r"command line: sampler\.steps: must be greater than or equal to 1"):
        validate(GenerateSpec, Source("command line", data))


@pytest.mark.parametrize(
    ("changes", "steps", "guidance"),
    [
        ({}, 256, 0.0),
        ({"sampler": {"name": "paper", "guidance": 3.0}, "perturbation": "IFNB1"}, 3, 3.0),
        ({"sampler": {"name": "paper", "steps": 16}}, 16, 0.0),
    ],
)
def test_the_published_sampler_fills_in_what_is_left_out(
    write: Write, changes: dict[str, Any], steps: int, guidance: float
) -> None:
    spec = load_generation(write(**({"sampler": {"name": "paper"}} | changes))).spec
    assert (spec.sampler.schedule, spec.sampler.steps, spec.sampler.guidance) == ("cosine", steps, guidance)
    assert validate(GenerateSpec, parse_yaml(dump_spec(spec).encode(), "again.yaml")) == spec
