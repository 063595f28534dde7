"""``safety:`` of a screen — side effects that a hit must not have, and contexts that it should leave alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from campaigns.spec import CampaignName, Genes, Labels, Location, Spec, as_items, both_ways, refuse

Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PenaltySetSpec(Spec):
    """A named set of a GMT file that tells of a side effect."""

    file: Location = Field(description="A local .gmt or .gmt.gz file.")
    name: str = Field(min_length=1, description="Name of the set.")
    direction: Literal["up", "down"] = Field(description="up: raising the set is the harm; down: lowering it is.")


class PenaltySpec(Spec):
    """A signature of a side effect: its score counts against a perturbation."""

    name: CampaignName = Field(description="Name of the side effect: letters, digits, . _ -")
    up: Genes = Field(default=(), description="Genes whose rise is the harm.")
    down: Genes = Field(default=(), description="Genes whose fall is the harm.")
    gene_set: PenaltySetSpec | None = Field(default=None, description="A named set of a GMT file.")
    limit: Limit | None = Field(
        default=None,
        description="The most that is allowed, in control standard deviations; null: only shown and ranked by.",
    )

    @model_validator(mode="after")
    def _check_source(self) -> PenaltySpec:
        sources = bool(self.up or self.down) + (self.gene_set is not None)
        if sources != 1:
            refuse(((), f"needs exactly one source of genes and has {sources}: `up`/`down` or `gene_set`"))
        findings = both_ways(self.up, self.down)
        if findings:
            refuse(*findings)
        return self


def _differently_named(penalties: tuple[PenaltySpec, ...]) -> tuple[PenaltySpec, ...]:
    names = [penalty.name for penalty in penalties]
    twice = [
        ((index, "name"), f"{name!r} is the name of another signature already; names are columns of the result")
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    if twice:
        refuse(*twice)
    return penalties


def _named(match: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    if not match:
        refuse(((), "matches every context; name at least one `factor: value`"))
    return match


ContextMatch = Annotated[dict[str, Labels], AfterValidator(_named)]
"""Contexts in which every named factor has one of its values."""


class SafetySpec(Spec):
    """What a hit must not do."""

    signatures: Annotated[
        tuple[PenaltySpec, ...],
        AfterValidator(_differently_named),
        BeforeValidator(as_items, json_schema_input_type=list[PenaltySpec]),
    ] = Field(default=(), description="Side effects: each a name, genes (`up`/`down` or `gene_set`) and a limit.")
    spare: Annotated[tuple[ContextMatch, ...], BeforeValidator(as_items, json_schema_input_type=list[ContextMatch])] = (
        Field(
            default=(),
            description="Contexts of the screen in which the objective should stay as it is: {factor: value}.",
        )
    )
    spare_limit: Limit | None = Field(
        default=None,
        description="The largest score, either way, that is allowed there, in the unit of the score; null: only shown.",
    )

    @model_validator(mode="after")
    def _check_any(self) -> SafetySpec:
        if not (self.signatures or self.spare):
            refuse(((), "names no side effect and no context to spare; write `signatures`, `spare` or both"))
        if self.spare_limit is not None and not self.spare:
            refuse((("spare_limit",), "no context is to be spared; name some under `spare`, or leave this out"))
        return self
