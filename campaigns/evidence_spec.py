"""``evidence:`` of a screen — what is put beside its hits: gene sets and a network of the user's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from campaigns.spec import Label, Location, Spec


class NetworkSpec(Spec):
    """Known links between genes, or from drugs to genes."""

    file: Location = Field(description="A local table with a header: .csv or .tsv, also .gz.")
    source: Label = Field(default="source", description="Column of the regulator, or of what acts.")
    target: Label = Field(default="target", description="Column of the regulated gene.")
    sign: Label | None = Field(
        default=None, description="Column with a positive number for activation and a negative one for repression."
    )


def _only_a_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


class EvidenceSpec(Spec):
    """What is gathered beside the hits of a screen."""

    top: int = Field(
        default=50, ge=0, le=10_000, description="Conditions that evidence is gathered for, hits first; 0 for none."
    )
    gene_sets: Location | None = Field(default=None, description="A local .gmt or .gmt.gz file to test for enrichment.")
    network: Annotated[NetworkSpec, BeforeValidator(_only_a_file, json_schema_input_type=str | NetworkSpec)] | None = (
        Field(default=None, description="Known links, from perturbations to the genes of the objective.")
    )
