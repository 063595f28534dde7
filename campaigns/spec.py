"""What all campaign files share: the base model and the small types of its fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from campaigns.yaml_source import FieldPath

ALL_SEEN = "all_seen"
ALL_DESCRIBED = "all_described"
MAX_SEED = 2**63 - 1


class Spec(BaseModel):
    """Base of every block of a campaign file: unknown keys are refused, types are not bent, nothing changes later."""

    # A file is of one kind: what validates the others isn't built before it is needed, so that `validate` stays fast.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, defer_build=True)

    def as_data(self) -> dict[str, Any]:
        """Give the block as plain data with every default written out, under the names that YAML uses."""
        return self.model_dump(mode="json", by_alias=True)


def refuse(*findings: tuple[FieldPath, str]) -> NoReturn:
    """Fail a validator with one or more findings, each at a field path relative to the block.

    Raises
    ------
    PydanticCustomError
        Always; `campaigns.validation` takes the findings out again.
    """
    text = "; ".join(text for _, text in findings).replace("{", "{{").replace("}", "}}")
    raise PydanticCustomError("campaign", text, {"findings": findings})


def both_ways(up: Iterable[str], down: Iterable[str]) -> list[tuple[FieldPath, str]]:
    """Find the genes of `down` that are under `up` too."""
    raised = set(up)
    return [
        (("down", index), f"gene {gene!r} is under `up` too; it can't go both ways")
        for index, gene in enumerate(down)
        if gene in raised
    ]


def _label(value: Any) -> Any:
    # Donors and batches are often plain numbers; a float or a boolean has no one spelling as a name.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_items(value: Any) -> Any:
    """Read a list as the tuple that a strict, frozen model wants."""
    return tuple(value) if isinstance(value, list) else value


def _one_or_many(value: Any) -> Any:
    return as_items(value) if isinstance(value, (list, tuple)) else (value,)


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that names something twice."""
    first = {value: index for index, value in reversed(tuple(enumerate(values)))}
    twice = [((index,), f"{value!r} is listed twice") for index, value in enumerate(values) if first[value] < index]
    if twice:
        refuse(*twice)
    return values


def _plain_url(url: str) -> str:
    """Refuse credentials in any part of a URL, and of one chained by ``::``; the message never repeats it."""
    for part in url.split("::"):
        _, separator, rest = part.partition("://")
        if separator and _has_user(rest):
            refuse(((), "a user or a password can't stand in a URL; put the credentials in the environment"))
        if separator and "?" in rest:
            refuse(
                (
                    (),
                    "a URL can't have a query string (?…), it may hold a signature or a token; "
                    "leave it out and put the credentials in the environment",
                )
            )
    return url


def _has_user(address: str) -> bool:
    authority = re.split("[/?#]", address, maxsplit=1)[0]
    _, colon, after = authority.rpartition(":")
    # Secret keys may hold a slash, which ends the authority too early: key:sec/ret@bucket. A port is a number.
    cut_short = bool(colon) and not after.isdecimal() and "@" in address
    return "@" in authority or cut_short


_LABEL_INPUT = str | int

Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000),
    BeforeValidator(_label, json_schema_input_type=_LABEL_INPUT),
]
"""A name in the data. A whole number counts as its text."""

Genes = Annotated[tuple[Label, ...], BeforeValidator(as_items, json_schema_input_type=list[str])]
"""A list of genes."""


def _smiles(text: str) -> str:
    # White space would end the SMILES, and what follows would be read as a title.
    if text.split() != [text]:
        refuse(((), f"must be a SMILES without white space, not {text!r}"))
    return text


Smiles = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_smiles)]
"""The structure of a molecule; whether it is one, chemistry says."""

Labels = Annotated[
    tuple[Label, ...],
    Field(min_length=1),
    AfterValidator(distinct),
    BeforeValidator(_one_or_many, json_schema_input_type=_LABEL_INPUT | list[_LABEL_INPUT]),
]
"""One name or several; always a tuple once read."""

Location = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_plain_url)]
"""A local path, relative to the working directory, or a URL. Never holds credentials."""

CampaignName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""A name that can stand in a path."""

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _cell_values(column: str, values: tuple[str | int | float, ...]) -> tuple[str | float, ...]:
    """Read the values of a cell match: numbers for `dose`, names for all other columns."""
    wrong, wanted = (str, "a dose is a number") if column == "dose" else (float, "put the name into quotes")
    findings: list[tuple[FieldPath, str]] = [
        ((column, index), f"{value!r} isn't allowed: {wanted}")
        for index, value in enumerate(values)
        if isinstance(value, wrong)
    ]
    if findings:
        refuse(*findings)
    return tuple(float(value) if column == "dose" else str(value) for value in values)


def _match(entry: dict[str, tuple[str | int | float, ...]]) -> dict[str, tuple[str | float, ...]]:
    if not entry:
        refuse(((), "matches every cell; name at least one `column: value`"))
    return {column: _cell_values(column, values) for column, values in entry.items()}


_VALUE_INPUT = str | int | float

CellMatch = Annotated[
    dict[
        str,
        Annotated[
            tuple[_VALUE_INPUT, ...],
            Field(min_length=1),
            BeforeValidator(_one_or_many, json_schema_input_type=_VALUE_INPUT | list[_VALUE_INPUT]),
        ],
    ],
    AfterValidator(_match),
]
"""Cells for which every named column has one of its values; `dose` has numbers, all other columns names."""


def unnamed_columns(match: Mapping[str, Any], columns: Iterable[str], path: FieldPath) -> list[tuple[FieldPath, str]]:
    """Find the keys of a cell match that the data block doesn't name."""
    named = list(columns)
    return [
        ((*path, key), f"column {key!r} isn't named in data.columns; named: {', '.join(named)}")
        for key in match
        if key not in named
    ]
