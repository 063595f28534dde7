from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from campaigns.spec import CellMatch, Labels, Location, unnamed_columns


@pytest.mark.parametrize(
    ("value", "labels"), [("D1", ("D1",)), (101, ("101",)), (["D1", 2], ("D1", "2")), (("D1",), ("D1",))]
)
def test_one_label_or_several_become_a_tuple(value: object, labels: tuple[str, ...]) -> None:
    assert TypeAdapter(Labels).validate_python(value) == labels


@pytest.mark.parametrize("value", [1.5, True, None, [], [""], ["a", "a"], {"a": 1}])
def test_what_is_no_label_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Labels).validate_python(value)


def test_a_cell_match_has_numbers_for_doses_and_names_for_the_rest() -> None:
    match = TypeAdapter(CellMatch).validate_python({"donor": 101, "dose": [1, 0.5], "batch": ["a", 2]})
    assert match == {"donor": ("101",), "dose": (1.0, 0.5), "batch": ("a", "2")}


@pytest.mark.parametrize("value", [{"donor": 1.5}, {"dose": "high"}, {}, {"donor": []}])
def test_what_matches_nothing_certain_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(CellMatch).validate_python(value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret@bucket/x",
        "https://me@host/x",
        "simplecache::https://me:secret@host/x",
        "zip://cells.h5ad::simplecache::s3://key:secret@bucket/x.zip",
        "s3://key:sec/secret@bucket/x",
        "s3://key:/secret@bucket/x",
        "https://host/x?X-Amz-Signature=secret",
        "https://host/x?sv=2024&sig=secret",
        "filecache::https://host/x?token=secret",
        "https://host?secret",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Location).validate_python(url)
    said = caught.value.errors()[0]["msg"]
    assert "secret" not in said
    assert "put the credentials in the environment" in said


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a@b",
        "results/a@b",
        "file:///x",
        "file://C:/x",
        "what?/x.h5ad",
        "http://localhost:9000/a@b",
        "http://[::1]:9000/x",
        "simplecache::s3://bucket/x",
    ],
)
def test_ordinary_locations_pass(url: str) -> None:
    assert TypeAdapter(Location).validate_python(url) == url


def test_keys_that_the_data_block_does_not_name_are_found() -> None:
    assert unnamed_columns({"donor": (), "batch": ()}, ["batch"], ("hold_out", 0)) == [
        (("hold_out", 0, "donor"), "column 'donor' isn't named in data.columns; named: batch")
    ]
