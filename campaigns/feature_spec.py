"""``features:`` of a training — what describes perturbations, so that ones never seen can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from campaigns.plugin_spec import SETTINGS, PluginName, PluginSettings
from campaigns.spec import Label, Labels, Location, Spec, as_items, refuse
from campaigns.yaml_source import FieldPath

Dimensions = Annotated[int, Field(ge=1, le=1024)]

_LICENCE = Field(default="not stated", description="Licence of the file; goes into the checkpoint.")
_DIMENSIONS = Field(default=64, description="Columns to keep; wider features are reduced to principal components.")


class GraphSpec(Spec):
    """A network whose neighbours add their features: of genes, drugs or anything else that has names."""

    file: Location = Field(description="Edges as .csv, .tsv (also .gz) or .parquet.")
    source: Label = Field(default="source", description="Column with one end of an edge.")
    target: Label = Field(default="target", description="Column with the other end.")
    weight: Label | None = Field(default=None, description="Column with weights of 0 or more; null counts all as 1.")
    hops: int = Field(default=2, ge=1, le=4, description="How many steps away neighbours count.")
    dimensions: Dimensions = _DIMENSIONS
    licence: str = _LICENCE


class FeatureSource(Spec):
    """What every source of features has."""

    names: Labels | None = Field(
        default=None, description="Describe these perturbations only; null for all that the source knows."
    )
    graph: GraphSpec | None = Field(
        default=None, description="A network over which the features are averaged, as columns of their own."
    )


class TableSource(FeatureSource):
    """Vectors of the user's own, such as embeddings of proteins."""

    kind: Literal["table"]
    file: Location = Field(
        description=".parquet with a column of names, or .npz with the arrays `names` and `features`."
    )
    name: Label | None = Field(
        default=None, description="Column of names in a .parquet; null where it has one text column only."
    )
    dimensions: Dimensions = _DIMENSIONS
    licence: str = _LICENCE


class GeneSetSource(FeatureSource):
    """The gene sets that a gene is in."""

    kind: Literal["gene_sets"]
    file: Location = Field(description="A .gmt file, also compressed with gzip.")
    smallest: int = Field(default=5, ge=2, description="Sets with fewer genes are left out.")
    largest: int = Field(default=500, ge=2, description="Sets with more genes are left out.")
    dimensions: Dimensions = _DIMENSIONS
    licence: str = _LICENCE

    @model_validator(mode="after")
    def _check_sizes(self) -> GeneSetSource:
        if self.smallest > self.largest:
            refuse((("smallest",), f"{self.smallest} is more than `largest`, {self.largest}: no set would be left"))
        return self


class LinkSource(FeatureSource):
    """The regulatory links that leave and reach a gene."""

    kind: Literal["links"]
    file: Location = Field(description="Links as .csv, .tsv (also .gz) or .parquet.")
    source: Label = Field(default="source", description="Column of the regulator.")
    target: Label = Field(default="target", description="Column of the regulated gene.")
    sign: Label | None = Field(
        default=None, description="Column with 1 for activation and -1 for repression; null counts all as 1."
    )
    dimensions: Dimensions = _DIMENSIONS
    licence: str = _LICENCE


class CoExpressionSource(FeatureSource):
    """The genes that a gene goes up and down with, in control cells of the training data."""

    kind: Literal["co_expression"]
    dimensions: Dimensions = _DIMENSIONS


class SmilesSource(FeatureSource):
    """The structures of drugs."""

    kind: Literal["smiles"]
    file: Location = Field(description="Drugs as .csv, .tsv (also .gz) or .parquet.")
    name: Label = Field(default="name", description="Column of the names, as in the data.")
    smiles: Label = Field(default="smiles", description="Column of the SMILES.")
    bits: int = Field(default=1024, ge=64, le=16384, description="Length of the Morgan fingerprint.")
    licence: str = _LICENCE


class PluginSource(FeatureSource):
    """Vectors that another package brings, under the entry points ``lingshu.features``."""

    kind: Literal["plugin"]
    plugin: PluginName = Field(description="Name of the plugin; `lingshu plugins` lists those that are installed.")
    settings: PluginSettings = SETTINGS
    dimensions: Dimensions = _DIMENSIONS
    licence: str = _LICENCE


_OfGenes = Annotated[
    TableSource | GeneSetSource | LinkSource | CoExpressionSource | PluginSource, Field(discriminator="kind")
]
_OfDrugs = Annotated[TableSource | SmilesSource | PluginSource, Field(discriminator="kind")]
_OfAny = Annotated[TableSource | PluginSource, Field(discriminator="kind")]

GeneSources = Annotated[tuple[_OfGenes, ...], BeforeValidator(as_items, json_schema_input_type=list[_OfGenes])]
DrugSources = Annotated[tuple[_OfDrugs, ...], BeforeValidator(as_items, json_schema_input_type=list[_OfDrugs])]
Tables = Annotated[tuple[_OfAny, ...], BeforeValidator(as_items, json_schema_input_type=list[_OfAny])]


class FeaturesSpec(Spec):
    """What describes perturbations of each type; the sources of a type stand side by side."""

    genetic: GeneSources = Field(default=(), description="Sources that describe targeted genes.")
    cytokine: GeneSources = Field(default=(), description="Sources that describe cytokines, by their genes.")
    drug: DrugSources = Field(default=(), description="Sources that describe drugs.")
    environment: Tables = Field(default=(), description="Sources that describe viruses, media, hypoxia.")

    @property
    def by_type(self) -> dict[str, tuple[FeatureSource, ...]]:
        """Perturbation type → its sources, types without any left out."""
        return {kind: sources for kind in type(self).model_fields if (sources := getattr(self, kind))}

    @model_validator(mode="after")
    def _check_sources(self) -> FeaturesSpec:
        findings: list[tuple[FieldPath, str]] = []
        if not self.by_type:
            findings.append(((), f"lists no source; give one under {', '.join(type(self).model_fields)}, or leave out"))
        structures = [index for index, source in enumerate(self.drug) if isinstance(source, SmilesSource)]
        findings += [
            (("drug", index), "is a second source of structures; put all drugs into one file")
            for index in structures[1:]
        ]
        if findings:
            refuse(*findings)
        return self
