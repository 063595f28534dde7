"""``kind: evaluate`` — ask whether models earn their place on real cells, beside baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from campaigns.compute_spec import EvaluationComputeSpec
from campaigns.data_spec import DataSpec
from campaigns.feature_spec import FeaturesSpec
from campaigns.spec import CampaignName, Location, Seed, Spec, as_items, distinct, refuse
from campaigns.split_spec import SplitSpec
from campaigns.training_spec import (
    NEED_FEATURES,
    TRAINED_BASELINES,
    BaselineKind,
    ModelSpec,
    TrainingSpec,
    training_findings,
)
from campaigns.yaml_source import FieldPath

MetricGroup = Literal["effects", "realism", "uncertainty", "cell_eval", "cell_eval2"]
BASELINES: tuple[BaselineKind, ...] = get_args(BaselineKind)
REPLICATE = "replicate"
"""The name under which a half of the real cells stands in the tables."""


def _names(value: Any) -> str | None:
    if value == "all":
        return "<word>"
    return "<list>" if isinstance(value, (list, tuple)) else None


Baselines = Annotated[
    Annotated[Literal["all"], Tag("<word>")]
    | Annotated[
        tuple[BaselineKind, ...],
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[BaselineKind]),
        Tag("<list>"),
    ],
    Discriminator(
        _names, custom_error_type="shape", custom_error_message=f"must be all, or a list of {', '.join(BASELINES)}"
    ),
]


class EvaluationEstimatorSpec(Spec):
    """How effects are estimated and cells are drawn."""

    steps: int = Field(default=6, ge=1, le=1000, description="Steps in which a cell's genes are revealed.")
    schedule: Literal["geometric", "uniform", "cosine"] = Field(
        default="geometric", description="How many genes each step reveals."
    )
    guidance: float = Field(
        default=0.0, ge=0, le=20, description="Strength of guidance against the control label; 0 for none."
    )
    prior: Literal["none", "published"] = Field(
        default="none",
        description="published: pre-fill the target and the genes that the perturbation lowers in other contexts.",
    )
    shards: int = Field(
        default=8, ge=2, le=100_000, description="Independent replicates; Monte Carlo errors come from them."
    )
    depth_strata: int = Field(
        default=16, ge=1, le=65_536, description="Cells a shard, one for each stratum of the control's depths."
    )
    cells: int = Field(
        default=256,
        ge=16,
        le=100_000,
        description="Cells drawn of a condition, at most as many as it has real ones, for metrics of cells.",
    )


_OF_TRAINING = ("model", "training", "features")


class EntrySpec(Spec):
    """What every entry of `models` has."""

    name: CampaignName = Field(description="Name in all tables: letters, digits, . _ -")

    @model_validator(mode="before")
    @classmethod
    def _check_source(cls, data: Any) -> Any:
        named = [
            field for field in ("checkpoint", "cells", *_OF_TRAINING) if isinstance(data, Mapping) and field in data
        ]
        first = named[0] if named else ""
        if first in ("checkpoint", "cells") and len(named) > 1:
            text = f"an entry with `{first}` is trained already, or only its cells are known; leave this out"
            refuse(*(((field,), text) for field in named[1:]))
        return data


class TrainedEntry(EntrySpec):
    """A model to be trained for every fold and seed."""

    model: ModelSpec = Field(default=ModelSpec(), description="Which shape of model, or which baseline.")
    training: TrainingSpec = Field(default=TrainingSpec(), description="How long and how to train.")
    features: FeaturesSpec | None = Field(
        default=None, description="What describes perturbations; null for the `features` of the evaluation."
    )
    estimator: EvaluationEstimatorSpec | None = Field(
        default=None, description="Fields of `estimator` that are different for this model."
    )

    @model_validator(mode="after")
    def _check_training(self) -> TrainedEntry:
        findings: list[tuple[FieldPath, str]] = []
        if self.training.seed or self.training.seeds is not None:
            field = "seeds" if self.training.seeds is not None else "seed"
            findings.append((("training", field), "an evaluation trains with its own `seeds`; leave this out"))
        if self.training.workers:
            text = "units of an evaluation train side by side, each in one process; raise compute.replicas instead"
            findings.append((("training", "workers"), text))
        if self.model.is_baseline:
            findings += training_findings(self.model, self.training)
        if findings:
            refuse(*findings)
        return self


class CheckpointEntry(EntrySpec):
    """A model that is trained already."""

    checkpoint: Location = Field(description="Folder of the checkpoint or the baseline: local path or s3:// URL.")
    estimator: EvaluationEstimatorSpec | None = Field(
        default=None, description="Fields of `estimator` that are different for this model."
    )


class CellsEntry(EntrySpec):
    """Cells that any other model has predicted."""

    cells: Location = Field(description="An .h5ad of predicted UMI counts, with the columns of `data`.")


def _entry(value: Any) -> str | None:
    """Tell what an entry of `models` is: by the field that says where its predictions come from."""
    if isinstance(value, EntrySpec):
        value = vars(value)
    if not isinstance(value, Mapping):
        return None
    return next((f"<{field}>" for field in ("checkpoint", "cells") if field in value), "<model>")


ModelEntry = Annotated[
    Annotated[TrainedEntry, Tag("<model>")]
    | Annotated[CheckpointEntry, Tag("<checkpoint>")]
    | Annotated[CellsEntry, Tag("<cells>")],
    Discriminator(
        _entry,
        custom_error_type="shape",
        custom_error_message="must be {name, model, training}, {name, checkpoint} or {name, cells}",
    ),
]


class EvaluateSpec(Spec):
    """An evaluation, ``kind: evaluate``."""

    kind: Literal["evaluate"] = Field(description="What the file is.")
    name: CampaignName = Field(description="Name of the evaluation: letters, digits, . _ -")
    data: DataSpec = Field(description="The real cells: what models learn from, and what answers the questions.")
    models: Annotated[
        tuple[ModelEntry, ...],
        Field(min_length=1),
        BeforeValidator(as_items, json_schema_input_type=list[ModelEntry]),
    ] = Field(description="Models to judge: to be trained, trained already, or cells that another model predicted.")
    features: FeaturesSpec | None = Field(
        default=None, description="What describes perturbations, for all models and baselines; null for nothing."
    )
    baselines: Baselines = Field(
        default="all", description="What models are compared with: all that need no extra package, or a list."
    )
    split: SplitSpec = Field(description="What is held out, and hence what is asked.")
    metrics: Annotated[
        tuple[MetricGroup, ...],
        Field(min_length=1),
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[MetricGroup]),
    ] = Field(
        default=("effects", "realism", "uncertainty"),
        description="Groups of metrics; cell_eval and cell_eval2 need the extra `evaluate`.",
    )
    estimator: EvaluationEstimatorSpec = Field(
        default=EvaluationEstimatorSpec(), description="How effects are estimated, and cells drawn, of all models."
    )
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, max_length=1000),
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[Seed]),
    ] = Field(default=(0,), description="Seeds: what is random is done once with each of them.")
    output: Location = Field(description="Folder of the results: local path or s3:// URL.")
    compute: EvaluationComputeSpec = Field(default=EvaluationComputeSpec(), description="Where the evaluation runs.")
    licence: str = Field(default="not stated", description="Licence of the data; goes into checkpoints and report.")
    source: str = Field(default="not stated", description="Where the data come from; goes into both, too.")

    @property
    def chosen_baselines(self) -> tuple[BaselineKind, ...]:
        """The baselines to run, in the order of the file; those of features only where there are some."""
        if self.baselines != "all":
            return self.baselines
        left_out = TRAINED_BASELINES if self.features else (*TRAINED_BASELINES, *NEED_FEATURES)
        return tuple(name for name in BASELINES if name not in left_out)

    @model_validator(mode="after")
    def _fill_in_estimators(self) -> EvaluateSpec:
        for entry in self.models:
            own = getattr(entry, "estimator", None)
            if own is not None:
                changes = {name: getattr(own, name) for name in own.model_fields_set}
                # Frozen is what the spec is from here on; until now it was being made.
                object.__setattr__(entry, "estimator", self.estimator.model_copy(update=changes))
        return self

    @model_validator(mode="after")
    def _check_together(self) -> EvaluateSpec:
        findings = [*self._name_findings(), *self._feature_findings()]
        findings += [(("data", *path), text) for path, text in self.data.unused_columns(set(self.split.columns))]
        findings += self._column_findings()
        if self.data.columns.perturbation is None:
            findings.append((("data", "columns", "perturbation"), "is null: an atlas has no effect to be right about"))
        places = {entry.checkpoint.rstrip("/") for entry in self.models if isinstance(entry, CheckpointEntry)}
        if self.output.rstrip("/") in places:
            findings.append((("output",), "is the folder of a model; give the results one of their own"))
        if findings:
            refuse(*findings)
        return self

    def _name_findings(self) -> list[tuple[FieldPath, str]]:
        taken = dict.fromkeys((*BASELINES, REPLICATE), "is the name of a baseline")
        findings: list[tuple[FieldPath, str]] = []
        for index, entry in enumerate(self.models):
            if entry.name in taken:
                findings.append((("models", index, "name"), f"{entry.name!r} {taken[entry.name]}; choose another"))
            taken.setdefault(entry.name, "is listed twice")
        return findings

    def _column_findings(self) -> list[tuple[FieldPath, str]]:
        named, factors = self.data.columns.named, self.data.factors
        findings: list[tuple[FieldPath, str]] = [
            (("split", field), f"{role!r} isn't named in data.columns; named: {', '.join(named)}")
            for field in ("factor", "column")
            if (role := getattr(self.split, field, None)) is not None and role not in named
        ]
        findings += [
            (("split", "pool", index), f"{role!r} is no part of the context; parts: {', '.join(factors) or 'none'}")
            for index, role in enumerate(self.split.pool)
            if role not in factors
        ]
        return findings

    def _feature_findings(self) -> list[tuple[FieldPath, str]]:
        findings: list[tuple[FieldPath, str]] = [
            (
                ("models", index, "features"),
                f"{entry.model.kind} predicts from features of perturbations; give `features`",
            )
            for index, entry in enumerate(self.models)
            if isinstance(entry, TrainedEntry)
            and entry.model.kind in NEED_FEATURES
            and (entry.features or self.features) is None
        ]
        named = () if self.baselines == "all" else self.baselines
        findings += [
            (("baselines", index), f"{name} predicts from features of perturbations; write `features`, or leave it out")
            for index, name in enumerate(named)
            if name in NEED_FEATURES and self.features is None
        ]
        return findings

    def estimator_of(self, entry: EntrySpec) -> EvaluationEstimatorSpec:
        """Return the estimator of an entry: its own, or that of the evaluation."""
        return getattr(entry, "estimator", None) or self.estimator
