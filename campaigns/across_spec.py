"""The ``across`` block of a screen: which questions are asked over contexts, and which factor tells them apart."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from campaigns.spec import Label, Spec, as_items, distinct

Mode = Literal["pan", "selective", "patient"]


class AcrossSpec(Spec):
    """Questions over the contexts of a screen."""

    factor: Label | None = Field(
        default=None,
        description="Factor whose values are compared, such as cell_type; by default the only one that varies.",
    )
    modes: Annotated[
        tuple[Mode, ...],
        Field(min_length=1),
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[Mode]),
    ] = Field(
        default=("pan", "selective"),
        description="pan: works in all of them; selective: in one and not elsewhere; patient: one ranking per donor.",
    )
    weak: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Selective hits are under this share of the score here in every other context; 1: just less.",
    )
    donor: Label = Field(default="donor", description="Factor whose values are the patients, for the mode patient.")
