"""``kind: train`` — learn a cell model from real cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PlainValidator, Tag, model_validator
from pydantic.fields import FieldInfo

from campaigns.data_spec import NO_FACTORS, TrainingDataSpec
from campaigns.feature_spec import FeaturesSpec
from campaigns.nearest import hint
from campaigns.plugin_spec import SETTINGS, PluginName, PluginSettings
from campaigns.spec import (
    CampaignName,
    CellMatch,
    Labels,
    Location,
    Seed,
    Spec,
    as_items,
    distinct,
    refuse,
    unnamed_columns,
)
from campaigns.yaml_source import FieldPath

LARGEST_SETTING = 65_536


def _setting(value: Any) -> bool | int | float:
    if not isinstance(value, (bool, int, float)) or not 0 <= value <= LARGEST_SETTING:
        refuse(((), f"must be a number from 0 to {LARGEST_SETTING:,}, true or false"))
    return value


def _number_or_list(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return "<number>"
    return "<list>" if isinstance(value, (list, tuple)) else None


Seeds = Annotated[
    Annotated[int, Field(ge=2, le=1000), Tag("<number>")]
    | Annotated[
        tuple[Seed, ...],
        Field(min_length=2, max_length=1000),
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[Seed]),
        Tag("<list>"),
    ],
    Discriminator(
        _number_or_list,
        custom_error_type="shape",
        custom_error_message="must be a number of members, at least 2, or a list of their seeds",
    ),
]
"""Members of an ensemble: how many, or their seeds."""


Setting = Annotated[bool | int | float, PlainValidator(_setting, json_schema_input_type=bool | int | float)]
"""A value of a model's setting; the model knows which names and values it takes."""


BaselineKind = Literal[
    "no_change", "perturbation_mean", "context_mean", "additive", "nearest_context", "ridge", "knn", "low_rank", "scvi"
]
ModelKind = Literal["lingshu", BaselineKind, "plugin"]
CELL_MODEL = "lingshu"
PLUGIN = "plugin"
"""A predictor that another package brings; wherever the cell model is not asked for, it is a baseline."""
NEED_FEATURES = ("ridge", "knn")
AVERAGE_CONTEXTS = ("perturbation_mean", "context_mean", "additive", "ridge", "knn")
"""Baselines that average over contexts; the nearest one compares them, the others have no use for `min_cells`."""
TRAINED_BASELINES = ("scvi",)
"""Baselines that are trained step by step, and the fields of `training` that they have."""
THEIR_TRAINING = ("epochs", "batch_size", "learning_rate", "seed", "device", "threads")
PLUGIN_TRAINING = ("seed", "device", "threads")
"""Fields of `training` that a plugin is told; all else is in its `settings`."""


Configuration = Literal["direct", "tiny", "small", "base", "paper"]


class ModelSpec(Spec):
    """The model: the cell model and its shape, or a baseline."""

    kind: ModelKind = Field(
        default="lingshu",
        description="lingshu: the cell model; every other one is a baseline made of means of the cells (scvi: a"
        " conditional VAE, with the extra scvi; plugin: one that another package brings).",
    )
    plugin: PluginName | None = Field(
        default=None, description="Of kind: plugin: its name; `lingshu plugins` lists those that are installed."
    )
    settings: PluginSettings = SETTINGS
    configuration: Configuration = Field(
        default="direct",
        description="direct: no transformer, for a CPU; tiny, small, base: with one, for a GPU; paper: the published"
        " one, without direct paths.",
    )
    overrides: dict[str, Setting] = Field(
        default_factory=dict,
        description="Single settings of the configuration to change, such as condition_rank: 32.",
    )
    weighting: Literal["contexts", "cells"] = Field(
        default="contexts",
        description="Of a baseline that averages over contexts: one vote a context, or one a perturbed cell.",
    )
    min_cells: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="Of such a baseline: contexts with fewer perturbed or control cells have no vote, unless none has"
        " more.",
    )

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline."""
        return self.kind != CELL_MODEL

    @model_validator(mode="after")
    def _check_kind(self) -> ModelSpec:
        defaults = {name: field.get_default(call_default_factory=True) for name, field in self._fields()}
        changed = [name for name, default in defaults.items() if getattr(self, name) != default]
        wrong = [((name,), self._obstacle(name)) for name in changed if self._obstacle(name)]
        if self.kind == PLUGIN and self.plugin is None:
            wrong.append(
                (("kind",), "plugin: say which one with `plugin: NAME`; `lingshu plugins` lists what there is")
            )
        if wrong:
            refuse(*wrong)
        return self

    @classmethod
    def _fields(cls) -> list[tuple[str, FieldInfo]]:
        return [(name, field) for name, field in cls.model_fields.items() if name != "kind"]

    def _obstacle(self, name: str) -> str:
        """Say why a field means nothing for this kind; empty where it does."""
        if name in ("configuration", "overrides"):
            return f"{self.kind} is a baseline and has no network; leave this out" if self.is_baseline else ""
        if name in ("plugin", "settings"):
            return "" if self.kind == PLUGIN else f"{self.kind} is no plugin; write kind: plugin, or leave this out"
        users = AVERAGE_CONTEXTS if name == "weighting" else (*AVERAGE_CONTEXTS, "nearest_context")
        return "" if self.kind in users else f"{self.kind} has no use for this; it is for {', '.join(users)}"


class TrainingSpec(Spec):
    """How long and how to train; training stops at the first limit that it meets."""

    epochs: int = Field(
        default=30, ge=1, description="Passes over the cells at most; the learning rate falls over all of them."
    )
    minutes: float | None = Field(
        default=None, gt=0, description="Stop after this many minutes, whatever was reached; null for no limit."
    )
    batch_size: int = Field(default=64, ge=1, le=65_536, description="Cells a step.")
    learning_rate: float = Field(default=0.0005, gt=0, le=1, description="Peak learning rate of the transformer.")
    direct_rate: float = Field(default=5.0, gt=0, le=100, description="Factor on it for the direct paths.")
    weight_decay: float = Field(default=0.01, ge=0, le=10, description="Weight decay of AdamW.")
    warmup_steps: int = Field(default=50, ge=1, description="Steps over which the learning rate rises.")
    balance: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Cells of a condition with n cells are drawn with weight n^-balance; 0 takes cells as they come.",
    )
    few_visible: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the cells taught with only a few genes visible, where the first steps of a screen are;"
        " 0 is the published t ~ U(0, 1).",
    )
    identity_decay: float = Field(
        default=1.0,
        ge=0,
        le=1000,
        description="Weight decay of what is learned of a perturbation, for one of 100 cells or fewer;"
        " with n cells, 100/n of it. 0 for none.",
    )
    factor_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="How often a context factor of a control cell is hidden, so that a screen may leave it out.",
    )
    identity_dropout: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="How often a perturbation with features is taught as if it had never been seen; see `features`.",
    )
    validation_share: float = Field(
        default=0.1, ge=0, le=0.5, description="Share of the cells kept for early stopping; 0 for none."
    )
    patience: int = Field(default=8, ge=1, description="Epochs without a gain before training stops.")
    ema: float = Field(default=0.05, gt=0, lt=0.3, description="Relative width of the power-function weight average.")
    seed: Seed = Field(default=0, description="Seed of every random number of the training.")
    seeds: Seeds | None = Field(
        default=None,
        description="Train an ensemble: the number of members, with the seeds seed, seed + 1, …, or a list of seeds; "
        "null for a single model.",
    )
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads of the trainer.")
    resume: bool = Field(
        default=True, description="Go on where the same training was interrupted, from the state beside `output`."
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Parts that a batch is cut into, one after the other: less memory, the same batch.",
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="Compute the transformer's activations anew on the way back: less memory, more time, same result.",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Processes that share every batch, on a Ray cluster; 0 trains in this process without Ray.",
    )
    gpus_per_worker: int = Field(default=0, ge=0, le=1, description="GPUs of each worker: 1, or 0 for its CPU threads.")
    address: str | None = Field(
        default=None, description="Ray cluster of the workers; null for RAY_ADDRESS, or one started on this machine."
    )
    restarts: int = Field(
        default=3, ge=0, le=1000, description="How often workers are started again after one of them was lost."
    )

    @model_validator(mode="after")
    def _check_seeds(self) -> TrainingSpec:
        if isinstance(self.seeds, tuple) and self.seed:
            refuse((("seed",), "`seeds` lists the seed of every member already; leave this out"))
        return self

    @model_validator(mode="after")
    def _check_parts(self) -> TrainingSpec:
        parts = max(self.workers, 1) * self.accumulate
        if parts > self.batch_size:
            text = (
                f"a batch of {self.batch_size} cells can't be cut into {parts} parts"
                f" (workers {self.workers}, accumulate {self.accumulate}); raise this, or lower those"
            )
            refuse((("batch_size",), text))
        if self.workers and ":" in self.device:
            refuse((("device",), f"{self.device} is one device, and every worker takes its own; write auto or cuda"))
        return self


class PseudoPerturbationsSpec(Spec):
    """Groups of control cells that are trained under labels of their own: the null of a screen's hits."""

    groups: int = Field(
        default=20,
        ge=2,
        le=10_000,
        description="How many groups, drawn at random; hits need at least 20 of them for q-values.",
    )
    by: Labels | None = Field(
        default=None,
        description="Instead of random groups: names in data.columns, such as guide or [guide, batch]; the control"
        " cells of each value are a group.",
    )
    minimum_cells: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="With `by`: what a group has in a context at least (half of the cells of its value), or else it is"
        " left out there.",
    )
    seed: Seed = Field(
        default=0, description="Seed of the draw of their cells; the same in all members of an ensemble."
    )

    @model_validator(mode="after")
    def _check_kind(self) -> PseudoPerturbationsSpec:
        # Not by the fields that were set: a spec that is written out in full has all of them.
        changed = {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}
        if self.by and "groups" in changed:
            refuse((("groups",), "with `by`, the values of its columns say how many there are; leave one of them out"))
        if not self.by and "minimum_cells" in changed:
            refuse((("minimum_cells",), "random groups have the sizes of perturbations; this is for `by`"))
        return self

    def column_findings(self, columns: Sequence[str]) -> list[tuple[FieldPath, str]]:
        """Say which of ``by`` are no columns that tell control cells apart."""
        possible = [name for name in columns if name not in NO_FACTORS]
        return [
            (("pseudo_perturbations", "by", place), _no_column(name, possible))
            for place, name in enumerate(self.by or ())
            if name not in possible
        ]


def _no_column(name: str, possible: Sequence[str]) -> str:
    if name in NO_FACTORS:
        return f"{name!r} doesn't tell control cells apart; name a column that does, such as the guide"
    return f"{name!r} isn't named in data.columns; {hint(name, possible)}"


class TrainSpec(Spec):
    """A training, ``kind: train``."""

    kind: Literal["train"] = Field(description="What the file is.")
    name: CampaignName = Field(description="Name of the model: letters, digits, . _ -")
    data: TrainingDataSpec = Field(description="The cells to learn from.")
    hold_out: Annotated[tuple[CellMatch, ...], BeforeValidator(as_items, json_schema_input_type=list[CellMatch])] = (
        Field(
            default=(),
            description="Cells never trained on. An entry matches the cells for which all its `column: value` hold; "
            "a value may be a list.",
        )
    )
    model: ModelSpec = Field(default=ModelSpec(), description="Which shape of model to train, or which baseline.")
    features: FeaturesSpec | None = Field(
        default=None,
        description="What describes perturbations, so that ones without a cell can be screened; null for nothing.",
    )
    pseudo_perturbations: PseudoPerturbationsSpec | None = Field(
        default=None,
        description="Train groups of control cells under labels of their own, so that screens have a measured null;"
        " null for none.",
    )
    training: TrainingSpec = Field(default=TrainingSpec(), description="How long and how to train.")
    output: Location = Field(description="Folder of the checkpoint: local path or s3:// URL.")
    licence: str = Field(default="not stated", description="Licence of the data; goes into the checkpoint.")
    source: str = Field(default="not stated", description="Where the data come from; goes into the checkpoint.")

    @model_validator(mode="after")
    def _check_columns(self) -> TrainSpec:
        findings: list[tuple[FieldPath, str]] = []
        for index, match in enumerate(self.hold_out):
            findings += unnamed_columns(match, self.data.columns.named, ("hold_out", index))
        if self.model.is_baseline:
            findings += training_findings(self.model, self.training)
            findings += feature_findings(self.model, self.features)
            if self.pseudo_perturbations is not None:
                text = f"{self.model.kind} is a baseline and learns no labels of control cells; leave this out"
                findings.append((("pseudo_perturbations",), text))
            if self.data.columns.perturbation is None and self.model.kind != "no_change":
                text = f"{self.model.kind} learns from perturbed cells; name the column, or use no_change"
                findings.append((("data", "columns", "perturbation"), text))
        if self.pseudo_perturbations is not None and self.data.columns.perturbation is None:
            text = "an atlas has no perturbations whose null this could be; leave this out, or name the column"
            findings.append((("pseudo_perturbations",), text))
        used = {key for match in self.hold_out for key in match}
        if self.pseudo_perturbations is not None:
            used |= set(self.pseudo_perturbations.by or ())
            findings += self.pseudo_perturbations.column_findings(list(self.data.columns.named))
        findings += [(("data", *path), text) for path, text in self.data.unused_columns(used)]
        if findings:
            refuse(*findings)
        return self


def training_findings(model: ModelSpec, training: TrainingSpec) -> list[tuple[FieldPath, str]]:
    """List the fields of ``training`` that mean nothing for a baseline, each with the reason."""
    known = THEIR_TRAINING if model.kind in TRAINED_BASELINES else PLUGIN_TRAINING if model.kind == PLUGIN else ()
    what = "a plugin has `settings` of its own" if model.kind == PLUGIN else f"{model.kind} is a baseline"
    some = f"; {model.kind} has {', '.join(known)}" if known else ": it is fitted in one pass"
    return [
        (("training", name), f"{what} and isn't trained like the cell model{some}; leave this out")
        for name, field in TrainingSpec.model_fields.items()
        if name not in known and getattr(training, name) != field.get_default(call_default_factory=True)
    ]


def feature_findings(model: ModelSpec, features: FeaturesSpec | None) -> list[tuple[FieldPath, str]]:
    """Say where a baseline lacks the features that it predicts from."""
    if model.kind in NEED_FEATURES and features is None:
        text = f"{model.kind} predicts from features of perturbations; describe them in `features:`, or use additive"
        return [(("model", "kind"), text)]
    return []
