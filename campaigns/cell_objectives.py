"""Objectives beyond weights on genes: of a population of drawn cells, and of the likeness of profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from campaigns.data_spec import DataSpec
from campaigns.spec import CellMatch, Genes, Location, Spec, as_items, both_ways, refuse, unnamed_columns
from campaigns.yaml_source import FieldPath

FEWEST_QUERY_GENES = 3


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, Mapping) else as_items(value)


class PopulationSpec(Spec):
    """What drawn cells do as a population, beside groups of real cells; needs ``estimator.kind: sampled``."""

    kind: Literal["population"]
    measure: Literal["e_distance", "state_share", "heterogeneity"] = Field(
        description="e_distance: how much nearer the cells come to the group; state_share: how many more of them are in"
        " its state; heterogeneity: how much more they differ in how far they go."
    )
    data: DataSpec = Field(description="The real cells.")
    group: CellMatch = Field(description="Which of them are the reference population, or in the state.")
    against: Annotated[
        tuple[CellMatch, ...],
        BeforeValidator(_one_or_several, json_schema_input_type=CellMatch | list[CellMatch]),
    ] = Field(default=(), description="The other group or groups; left out: the real controls of each context.")
    direction: Literal["up", "down"] = Field(
        default="up", description="up: more of what is measured (nearer, more cells, more heterogeneous); down: less."
    )
    exclude_own_targets: bool = Field(
        default=True, description="Leave the genes that a genetic perturbation targets out of its own score."
    )

    @model_validator(mode="after")
    def _check_groups(self) -> PopulationSpec:
        columns = self.data.columns.named
        findings = unnamed_columns(self.group, columns, ("group",))
        for index, other in enumerate(self.against):
            path: FieldPath = ("against", index) if len(self.against) > 1 else ("against",)
            findings += unnamed_columns(other, columns, path)
            if other == self.group:
                findings.append((path, "`group` and `against` are the same cells; nothing lies between them"))
            elif other in self.against[:index]:
                findings.append((path, "is there twice; leave one out"))
        named = {*self.group, *(column for other in self.against for column in other)}
        findings += [(("data", *path), text) for path, text in self.data.unused_columns(named)]
        if findings:
            refuse(*findings)
        return self


class ConnectivitySpec(Spec):
    """Effects that look like a query: genes that rise and genes that fall."""

    kind: Literal["connectivity"]
    up: Genes = Field(default=(), description="Genes that the query raises.")
    down: Genes = Field(default=(), description="Genes that the query lowers.")
    compendium: Location | None = Field(
        default=None,
        description="A .parquet of reference profiles, a column for each gene, that τ is taken among; null: the other"
        " conditions of the context.",
    )
    exclude_own_targets: bool = Field(
        default=True, description="Leave the genes that a genetic perturbation targets out of its own score."
    )

    @model_validator(mode="after")
    def _check_query(self) -> ConnectivitySpec:
        if not self.up and not self.down:
            refuse(((), "needs the genes of the query: `up`, `down` or both"))
        findings: list[tuple[FieldPath, str]] = [
            (
                (name,),
                f"has {len(set(genes))} genes, and an enrichment needs {FEWEST_QUERY_GENES} at least; for single genes"
                " use `kind: markers`",
            )
            for name, genes in (("up", self.up), ("down", self.down))
            if genes and len(set(genes)) < FEWEST_QUERY_GENES
        ]
        findings += both_ways(self.up, self.down)
        if findings:
            refuse(*findings)
        return self
