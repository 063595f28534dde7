"""The cells: where they lie and what their columns mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from campaigns.nearest import hint
from campaigns.spec import Label, Location, Spec, as_items, distinct, refuse
from campaigns.yaml_source import FieldPath

NO_FACTORS = ("perturbation", "perturbation_type", "method", "dose", "depth")
RESERVED_FACTORS = (
    "file",  # `contexts: {file: …}` names a file
    # Columns of the hit table. This room can't import them; a test compares.
    *("rank", "rank_in_context", "status", "reason", "perturbation", "perturbation_type", "dose", "context", "support"),
    "gate",
    *(
        "rank_low",
        "rank_high",
        "decision",
        "decision_reason",
        "posterior_mean",
        "low_50",
        "high_50",
        "low_90",
        "high_90",
    ),
    *("null_blocks", "null_centre", "null_sd", "minimum_effect", "p_null", "e_value", "q_value"),
    *("score", "score_se", "score_low", "score_high", "members", "score_sd", "score_unit"),
    *("effect", "effect_se", "genes_used"),
    *("targets_left_out", "on_target_effect", "depth_ratio", "training_cells", "training_cells_all"),
    *("top_up", "top_down", "cells", "shards", "estimator", "steps", "schedule", "guidance", "paths", "seed"),
    *("prior_genes", "model_digest", "run_id"),
    # Further names in effects.h5ad and cells.zarr.
    *("condition", "cell", "gene", "shard", "member", "depth", "_index"),
    # Columns of tables in between.
    *("log_depth", "baseline", "_tier"),
    # Where an allocation chooses.
    *("allocation", "shards_drawn", "allocation_low", "allocation_high"),
)
RESERVED_BEGINNINGS = ("effect[", "effect_se[", "effect_sd[")  # columns of marker genes


def is_reserved(factor: str) -> bool:
    """Whether results have something else under this name; a slash makes groups in HDF5 and zarr."""
    return factor in RESERVED_FACTORS or factor.startswith(RESERVED_BEGINNINGS) or "/" in factor


class ColumnsSpec(Spec):
    """Names of the columns of ``obs``. Further columns may be named freely, such as ``tissue: my_tissue``."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    perturbation: str | None = Field(
        description="What was done to the cell: a target, a cytokine, a drug, A+B, or the control label; "
        "null for an atlas, where nothing was done to any cell."
    )
    perturbation_type: str | None = Field(
        default=None, description="genetic, cytokine, drug or environment; without it all count as genetic."
    )
    method: str | None = Field(
        default=None,
        description="How genes were perturbed: knockout, CRISPRi or CRISPRa; a target with several is told apart.",
    )
    dose: str | None = Field(default=None, description="Dose, a positive number; empty for control cells.")
    cell_type: str | None = Field(default=None, description="Cell type or cell line.")
    donor: str | None = Field(default=None, description="Donor, animal or individual.")
    batch: str | None = Field(default=None, description="Batch; not part of the context unless listed there.")
    depth: str | None = Field(
        default=None,
        description="Total UMIs of the cell over all genes, where the file holds only a panel; "
        "without it the sum of the counts read.",
    )

    @property
    def named(self) -> dict[str, str]:
        """The columns that are named: what it means → name in ``obs``."""
        return {key: column for key, column in self.model_dump().items() if column is not None}


Paths = Annotated[
    Annotated[Location, Tag("<text>")]
    | Annotated[
        tuple[Location, ...],
        Field(min_length=1),
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[Location]),
        Tag("<list>"),
    ],
    Discriminator(lambda value: "<list>" if isinstance(value, (list, tuple)) else "<text>"),
]
"""One place or several; each may be a pattern with ``*``."""


class DataSpec(Spec):
    """Raw counts in one or several files."""

    path: Paths = Field(
        description="The .h5ad file or .zarr store: local path, s3:// or any fsspec URL; or a list of them, or a "
        "pattern such as cells/*.h5ad."
    )
    genes: Literal["same", "intersection"] = Field(
        default="same",
        description="With several files: same, all have the same genes in the same order; or intersection, keep the "
        "genes that all of them have, in the order of the first.",
    )
    layer: str | None = Field(default=None, description="Layer with the raw counts; null for X.")
    control: Label = Field(default="control", description="Label of the control cells in the perturbation column.")
    columns: ColumnsSpec = Field(description="Names of the columns of obs.")
    context: Annotated[tuple[str, ...], BeforeValidator(as_items, json_schema_input_type=list[str])] | None = Field(
        default=None,
        description="Which of the columns make up a context; by default cell_type and donor where they are named.",
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """All places named, patterns as they are."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns that make up a context, in the order of the file."""
        if self.context is not None:
            return self.context
        return tuple(key for key in ("cell_type", "donor") if key in self.columns.named)

    @model_validator(mode="after")
    def _check_context(self) -> DataSpec:
        findings = self._context_findings()
        if self.columns.perturbation is None:
            findings += [
                (("columns", key), "describes a perturbation, and columns.perturbation is null; leave this out")
                for key in ("perturbation_type", "method", "dose")
                if key in self.columns.named
            ]
        if findings:
            refuse(*findings)
        return self

    def _context_findings(self) -> list[tuple[FieldPath, str]]:
        possible = [key for key in self.columns.named if key not in NO_FACTORS]
        findings: list[tuple[FieldPath, str]] = []
        listed: set[str] = set()
        for index, factor in enumerate(self.context or ()):
            path: FieldPath = ("context", index)
            if factor in listed:
                findings.append((path, f"{factor!r} is listed twice"))
            elif factor in NO_FACTORS:
                findings.append((path, f"{factor!r} describes the perturbation or the depth, not the context"))
            elif is_reserved(factor):
                findings.append((path, self._rename(factor)))
            elif factor not in possible:
                findings.append((path, f"{factor!r} isn't named in data.columns; {hint(factor, possible)}"))
            listed.add(factor)
        return findings

    def _rename(self, factor: str) -> str:
        column = self.columns.named.get(factor, factor)
        other = f"{factor.strip('_').replace('/', '_').partition('[')[0]}_group"
        return (
            f"{factor!r} can't be a part of a context: the tables of results use this name themselves; name the role "
            f"otherwise, here and in data.columns, such as `{other}: {column}`"
        )

    def unused_columns(self, used: set[str]) -> list[tuple[FieldPath, str]]:
        """Find freely named columns that nothing uses: most likely a misspelt name."""
        known = list(type(self.columns).model_fields)
        return [
            (
                ("columns", key),
                f"{key!r} is used neither in `context` nor to choose cells; {hint(key, known)}",
            )
            for key in self.columns.__pydantic_extra__
            if key not in used and key not in self.factors
        ]


class TrainingDataSpec(DataSpec):
    """Raw counts to train on: in memory, or read from disk in blocks."""

    in_memory: Literal["auto", True, False] = Field(
        default="auto",
        description="Whether all counts are held in memory (true) or read in blocks while training (false); "
        "auto decides by memory_gb.",
    )
    memory_gb: float = Field(
        default=8.0, gt=0, description="With in_memory auto, cells that would take more than this are read in blocks."
    )
