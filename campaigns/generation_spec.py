"""``kind: generate`` — draw cells from a trained model, from nothing or starting from real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from campaigns.spec import CampaignName, CellMatch, Label, Location, Seed, Smiles, Spec, refuse
from campaigns.yaml_source import FieldPath

DEPTH = "depth"


def _h5ad(location: str) -> str:
    if not location.endswith(".h5ad"):
        refuse(((), f"{location!r} must end with .h5ad: cells are written as one AnnData file"))
    return location


CellsFile = Annotated[Location, AfterValidator(_h5ad)]
"""An ``.h5ad`` file: a local path or a URL."""


class SamplerSpec(Spec):
    """The reverse process of the cells that are drawn."""

    name: Literal["screening", "paper"] = Field(
        default="screening",
        description="screening: the fields as they are; paper: the published sampler stands in for fields left out.",
    )
    steps: int = Field(default=12, ge=1, le=1000, description="Steps in which a cell's genes are revealed.")
    schedule: Literal["geometric", "uniform", "cosine"] = Field(
        default="geometric", description="How many genes each step reveals."
    )
    guidance: float = Field(
        default=0.0, ge=0, le=20, description="Strength of guidance against the control label; 0 for none."
    )

    @model_validator(mode="after")
    def _check_paper(self) -> SamplerSpec:
        if self.name == "paper" and self.schedule != "cosine":
            refuse((("schedule",), "the published sampler has schedule: cosine; leave `name: paper` or this out"))
        return self


PAPER_STEPS: Mapping[str, int] = {"untreated": 256, "perturbed": 3}
"""Steps of the published sampler (arXiv 2603.25240): cells from nothing, and cells under a perturbation."""


class StartSpec(Spec):
    """Real cells to start from: a share of each one's genes is kept, the rest is drawn anew."""

    path: Location = Field(description="The .h5ad file with the cells: raw counts.")
    layer: str | None = Field(default=None, description="Layer with the raw counts; null for X.")
    where: CellMatch | None = Field(
        default=None, description="Which cells, `column of obs: value` or a list of values; null for all of them."
    )
    columns: dict[str, Annotated[str, StringConstraints(min_length=1)]] = Field(
        default_factory=dict,
        description="Factors taken from each cell itself, `factor: column of obs`; depth names its total UMIs.",
    )
    keep: float = Field(
        ge=0, le=1, description="Share of each cell's genes that is kept, chosen at random; the rest is drawn anew."
    )


class OrthologSpec(Spec):
    """A table that leads from the genes of the start cells to the genes of the model."""

    file: Location = Field(description="A .csv or .tsv file, .gz or not, with a header.")
    cells: str = Field(min_length=1, description="Column with the gene names of the cells.")
    model: str = Field(min_length=1, description="Column with the gene names of the model.")

    @model_validator(mode="after")
    def _check_columns(self) -> OrthologSpec:
        if self.cells == self.model:
            refuse((("model",), "is the column of the cells' genes too; the two species have one column each"))
        return self


class DrawingSpec(Spec):
    """Where cells are drawn; has no influence on what is asked."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads.")


class GenerateSpec(Spec):
    """Cells to draw, ``kind: generate``."""

    kind: Literal["generate"] = Field(description="What the file is.")
    name: CampaignName = Field(default="cells", description="Name of the request: letters, digits, . _ -")
    model: Location = Field(description="Folder of the checkpoint: local path or s3:// URL.")
    cells: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="How many cells; null for 1,000, and for one from each of the start cells.",
    )
    context: dict[str, Label] = Field(
        default_factory=dict, description="Factor: value, such as cell_type: B cells; the same for all cells."
    )
    contexts: Literal["proportional", "unspecified"] | None = Field(
        default=None,
        description="Factors that are left out: proportional draws them from the training contexts in proportion to"
        " their control cells, unspecified leaves them open; null is unspecified with `start`, else proportional.",
    )
    perturbation: Label | None = Field(
        default=None, description="A target, a cytokine, drug@dose, or A+B; null for untreated cells."
    )
    structures: dict[str, Smiles] = Field(
        default_factory=dict, description="Drugs that the model doesn't know, `name: SMILES`, for `perturbation`."
    )
    sampler: SamplerSpec = Field(default=SamplerSpec(), description="How the genes of a cell are revealed.")
    start: StartSpec | None = Field(default=None, description="Real cells to start from; null for none.")
    orthologs: OrthologSpec | None = Field(
        default=None, description="From the genes of the start cells to those of the model, where species differ."
    )
    output_genes: Literal["model", "cells"] = Field(
        default="model",
        description="Names of the genes that are written: the model's, or through `orthologs` those of the cells.",
    )
    seed: Seed = Field(default=0, description="Root seed of every random number.")
    output: CellsFile = Field(description="The .h5ad file to write: local path or URL.")
    compute: DrawingSpec = Field(default=DrawingSpec(), description="Where cells are drawn.")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_paper(cls, data: Any) -> Any:
        sampler = data.get("sampler") if isinstance(data, Mapping) else None
        if not isinstance(sampler, Mapping) or sampler.get("name") != "paper":
            return data
        steps = PAPER_STEPS["untreated" if data.get("perturbation") is None else "perturbed"]
        return {**data, "sampler": {"schedule": "cosine", "steps": steps, **sampler}}

    @property
    def left_out(self) -> Literal["proportional", "unspecified"]:
        """What becomes of factors that are left out."""
        return self.contexts or ("proportional" if self.start is None else "unspecified")

    @model_validator(mode="after")
    def _check_together(self) -> GenerateSpec:
        findings: list[tuple[FieldPath, str]] = []
        if self.start is not None:
            findings += [
                (
                    ("start", "columns", factor),
                    f"{factor!r} is stated in `context` for all cells; leave one out",
                )
                for factor in self.start.columns
                if factor in self.context
            ]
            if self.start.path == self.output:
                findings.append((("output",), "is the file of the start cells; write to another"))
        is_paper = self.sampler.name == "paper" and self.perturbation is not None
        if is_paper and "guidance" not in self.sampler.model_fields_set:
            text = "the published guidance is 2 for genetic and 3 for cytokine perturbations; say which"
            findings.append((("sampler", "guidance"), text))
        if self.output_genes == "cells" and self.orthologs is None:
            findings.append((("output_genes",), "`cells` needs `orthologs` to translate by"))
        if findings:
            refuse(*findings)
        return self
