from __future__ import annotations

import json
from pathlib import Path

import pytest

from campaigns.json_schema import schema, schema_text, shipped_schema, write_schemas
from campaigns.source import KINDS


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_shipped_schema_is_fresh(kind: str) -> None:
    assert shipped_schema(kind) == schema_text(kind), (
        'refresh it: python -c "from campaigns.json_schema import write_schemas; write_schemas()"'
    )


@pytest.mark.parametrize("kind", list(KINDS))
def test_unknown_keys_are_refused_and_fields_described(kind: str) -> None:
    made = schema(kind)
    assert made["additionalProperties"] is False
    assert all("description" in field for field in made["properties"].values())


def test_short_forms_are_in_the_schema() -> None:
    listed = json.dumps(schema("screen")["$defs"]["PerturbationsSpec"]["properties"]["drug"])
    assert '"integer"' in listed
    assert "DrugSpec" in listed
    assert "from" in schema("screen")["$defs"]["ReferenceSpec"]["properties"]


def test_schemas_are_written_for_every_kind(tmp_path: Path) -> None:
    write_schemas(tmp_path / "schemas")
    assert sorted(path.name for path in (tmp_path / "schemas").iterdir()) == [
        "chaos.json",
        "evaluate.json",
        "generate.json",
        "screen.json",
        "train.json",
    ]


def test_there_is_no_schema_of_another_kind() -> None:
    with pytest.raises(KeyError):
        schema("other")
