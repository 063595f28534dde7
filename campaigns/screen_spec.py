"""``kind: screen`` — ask a trained model which perturbations do what you want."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from campaigns.across_spec import AcrossSpec
from campaigns.cell_objectives import ConnectivitySpec, PopulationSpec
from campaigns.compute_spec import ComputeSpec
from campaigns.conditions import split_combination
from campaigns.data_spec import DataSpec
from campaigns.evidence_spec import EvidenceSpec
from campaigns.plugin_spec import PluginObjectiveSpec
from campaigns.publish_spec import PublishSpec
from campaigns.safety_spec import SafetySpec
from campaigns.spec import (
    ALL_DESCRIBED,
    ALL_SEEN,
    CampaignName,
    CellMatch,
    Genes,
    Label,
    Labels,
    Location,
    Seed,
    Smiles,
    Spec,
    as_items,
    both_ways,
    distinct,
    refuse,
    unnamed_columns,
)
from campaigns.yaml_source import FieldPath

Direction = Literal["up", "down"]
Word = Annotated[Literal["all_seen"], Tag("<word>")]
Words = Annotated[Literal["all_seen", "all_described"], Tag("<word>")]

MIN_SHARDS = 8


def _one_or_several(value: Any) -> str | None:
    if isinstance(value, str):
        return "<text>"
    return "<list>" if isinstance(value, (list, tuple)) else None


Models = Annotated[
    Annotated[Location, Tag("<text>")]
    | Annotated[
        tuple[Location, ...],
        Field(min_length=1),
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[Location]),
        Tag("<list>"),
    ],
    Discriminator(
        _one_or_several,
        custom_error_type="shape",
        custom_error_message="must be the folder of a checkpoint or of an ensemble, or a list of checkpoints",
    ),
]
"""One folder, or several checkpoints that are screened as an ensemble."""


class ListingSpec(Spec):
    """A list that lies in a file of its own."""

    file: Location = Field(description="A local file, relative to the working directory.")


def _shape(value: Any) -> str | None:
    """Name the way in which a selection is written; the tags of the unions below."""
    if value in (ALL_SEEN, ALL_DESCRIBED):
        return "<word>"
    if isinstance(value, ListingSpec) or (isinstance(value, Mapping) and "file" in value):
        return "<file>"
    if isinstance(value, Mapping):
        return "<mapping>"
    return "<list>" if isinstance(value, (list, tuple)) else None


def _shapes(allowed: str) -> Discriminator:
    return Discriminator(_shape, custom_error_type="shape", custom_error_message=f"must be {allowed}")


def _chosen(factors: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    mixed = [
        ((factor,), f"{ALL_SEEN} already means every value; leave the others out")
        for factor, values in factors.items()
        if ALL_SEEN in values and len(values) > 1
    ]
    if mixed:
        refuse(*mixed)
    return factors


def _nonempty(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if not items:
        refuse(((), f"is empty; list at least one context or write {ALL_SEEN}"))
    return items


ContextChoice = Annotated[
    dict[str, Labels],
    AfterValidator(_chosen),
    # {file: …} is a listing; a JSON schema has to be told, or both alternatives would fit.
    Field(json_schema_extra={"propertyNames": {"not": {"const": "file"}}}),
]
"""A product of factors: each with one value, several, or ``all_seen``. A factor left out isn't specified."""

Contexts = Annotated[
    Word
    | Annotated[ListingSpec, Tag("<file>")]
    | Annotated[ContextChoice, Tag("<mapping>")]
    | Annotated[
        tuple[ContextChoice, ...],
        AfterValidator(_nonempty),
        BeforeValidator(as_items, json_schema_input_type=list[ContextChoice]),
        Tag("<list>"),
    ],
    _shapes("all_seen, a list of contexts, a product of factors, or file: contexts.csv"),
]

Names = Annotated[
    Words
    | Annotated[ListingSpec, Tag("<file>")]
    | Annotated[tuple[Label, ...], BeforeValidator(as_items, json_schema_input_type=list[str | int]), Tag("<list>")],
    _shapes("all_seen, all_described, a list of names, or file: names.txt"),
]


def _bare_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, (str, int)) and not isinstance(value, bool) else value


Dose = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Doses = Annotated[
    Word
    | Annotated[
        tuple[Dose, ...],
        Field(min_length=1),
        BeforeValidator(as_items, json_schema_input_type=list[Dose]),
        Tag("<list>"),
    ],
    _shapes("all_seen or a list of numbers"),
]


class DosedSpec(Spec):
    """A perturbation at given doses."""

    name: Label = Field(description="Name of the perturbation, or A+B; all parts get the dose.")
    doses: Doses = Field(default="all_seen", description="Doses in the units of the training data, or all_seen.")


class DosedListingSpec(ListingSpec):
    """A list in a file of its own, at given doses."""

    doses: Doses = Field(default="all_seen", description="Doses of all that the file lists, or all_seen.")


class DrugSpec(DosedSpec):
    """A drug at given doses; one that the model has never met comes with its structure."""

    smiles: Smiles | None = Field(
        default=None, description="A SMILES without white space: the structure of a drug that the model doesn't know."
    )

    @model_validator(mode="after")
    def _check_smiles(self) -> DrugSpec:
        if self.smiles is not None and _is_combination(self.name):
            text = "is the structure of one drug; list each by itself with its `smiles`, and A+B without"
            refuse((("smiles",), text))
        return self


def _is_combination(label: str) -> bool:
    try:
        return len(split_combination(label)) > 1
    except ValueError:  # told with its place once the names are looked up
        return False


class LibrarySpec(DosedListingSpec):
    """Drugs in a file: one name a line, or a table with a header."""

    name: str | None = Field(
        default=None, min_length=1, description="Column of the names, where the file is a table (.csv, .tsv, .gz)."
    )
    smiles: str | None = Field(default=None, min_length=1, description="Column of the structures as SMILES.")

    @model_validator(mode="after")
    def _check_columns(self) -> LibrarySpec:
        if self.smiles is not None and self.name is None:
            refuse((("smiles",), "is a column of a table; say which one has the names, too: `name: …`"))
        return self


DosedNames = Annotated[
    Words
    | Annotated[DosedListingSpec, Tag("<file>")]
    | Annotated[
        tuple[
            Annotated[DosedSpec, BeforeValidator(_bare_name, json_schema_input_type=str | int | DosedSpec)],
            ...,
        ],
        BeforeValidator(as_items, json_schema_input_type=list[str | int | DosedSpec]),
        Tag("<list>"),
    ],
    _shapes("all_seen, all_described, a list of names or {name, doses}, or file: names.txt"),
]

Drugs = Annotated[
    Words
    | Annotated[LibrarySpec, Tag("<file>")]
    | Annotated[
        tuple[
            Annotated[DrugSpec, BeforeValidator(_bare_name, json_schema_input_type=str | int | DrugSpec)],
            ...,
        ],
        BeforeValidator(as_items, json_schema_input_type=list[str | int | DrugSpec]),
        Tag("<list>"),
    ],
    _shapes("all_seen, all_described, a list of names or {name, doses, smiles}, or file: library.tsv"),
]


class PairsSpec(Spec):
    """All pairs of the best single perturbations of a screen that was published."""

    start: Location = Field(alias="from", description="Results of the screen of the singles: its `output`.")
    of: Literal["genetic", "cytokine", "drug", "environment"] = Field(
        default="genetic", description="Type of the singles; both parts of a pair are of it."
    )
    top: int = Field(
        ge=2, le=10_000, description="How many of the best singles are paired; by mean score over the contexts."
    )
    doses: Doses = Field(
        default="all_seen", description="Doses of the pairs, or all_seen: those that both parts were seen at."
    )


class PerturbationsSpec(Spec):
    """What to try. A+B is a combination; controls are added by themselves."""

    genetic: Names = Field(default=(), description="Targets: all_seen, all_described, a list, or {file: targets.txt}.")
    cytokine: DosedNames = Field(default=(), description="Cytokines: as for drugs, without structures.")
    drug: Drugs = Field(
        default=(),
        description="Drugs: all_seen, all_described, a list of names or {name, doses, smiles}, or {file: library.tsv}.",
    )
    environment: DosedNames = Field(
        default=(), description="Changes of the environment (virus, hypoxia, medium): as for cytokines."
    )
    pairs: PairsSpec | None = Field(
        default=None, description="All pairs of the top singles of a screen that was published; null for none."
    )

    @model_validator(mode="after")
    def _check_any(self) -> PerturbationsSpec:
        if self.genetic == self.cytokine == self.drug == self.environment == () and self.pairs is None:
            refuse(((), "selects nothing to screen; write genetic: all_seen, or name perturbations"))
        return self


class GeneSetSpec(Spec):
    """A named set of a GMT file; genes that the model doesn't have are left out and counted."""

    file: Location = Field(description="A local .gmt or .gmt.gz file.")
    name: str = Field(min_length=1, description="Name of the set.")
    direction: Direction = Field(description="up: look for perturbations that raise the set; down: that lower it.")


class ReferenceSpec(Spec):
    """The difference between two groups of real cells, to be mimicked or reversed."""

    mode: Literal["reverse", "mimic"] = Field(description="mimic: look for the same change; reverse: for its opposite.")
    data: DataSpec = Field(description="The real cells.")
    start: CellMatch = Field(alias="from", description="Cells that the change starts from.")
    to: CellMatch = Field(description="Cells that the change leads to.")

    @model_validator(mode="after")
    def _check_groups(self) -> ReferenceSpec:
        columns = self.data.columns.named
        findings = unnamed_columns(self.start, columns, ("from",)) + unnamed_columns(self.to, columns, ("to",))
        unused = self.data.unused_columns({*self.start, *self.to})
        findings += [(("data", *path), text) for path, text in unused]
        if self.start == self.to:
            findings.append((("to",), "`from` and `to` are the same cells; their difference is nothing"))
        if findings:
            refuse(*findings)
        return self


_EXCLUDE_OWN_TARGETS = Field(
    default=True,
    description="Leave the genes that a genetic perturbation targets out of its own score.",
)


class SignatureSpec(Spec):
    """Raise these genes and lower those: from lists, from a gene set, or from real cells."""

    kind: Literal["signature"]
    up: Genes = Field(default=(), description="Genes to raise.")
    down: Genes = Field(default=(), description="Genes to lower.")
    gene_set: GeneSetSpec | None = Field(default=None, description="A named set of a GMT file.")
    reference: ReferenceSpec | None = Field(
        default=None, description="The difference between two groups of real cells."
    )
    exclude_own_targets: bool = _EXCLUDE_OWN_TARGETS

    @model_validator(mode="after")
    def _check_source(self) -> SignatureSpec:
        lists = bool(self.up or self.down)
        sources = lists + (self.gene_set is not None) + (self.reference is not None)
        if sources != 1:
            refuse(
                (
                    (),
                    f"needs exactly one source of genes and has {sources}: `up`/`down`, `gene_set` or `reference`",
                )
            )
        findings = both_ways(self.up, self.down)
        if findings:
            refuse(*findings)
        return self


class TargetStateSpec(Spec):
    """Move every context toward the state of a group of real cells."""

    kind: Literal["target_state"]
    data: DataSpec = Field(description="The real cells.")
    group: CellMatch = Field(description="Which of them are the target.")
    exclude_own_targets: bool = _EXCLUDE_OWN_TARGETS

    @model_validator(mode="after")
    def _check_group(self) -> TargetStateSpec:
        findings = unnamed_columns(self.group, self.data.columns.named, ("group",))
        findings += [(("data", *path), text) for path, text in self.data.unused_columns(set(self.group))]
        if findings:
            refuse(*findings)
        return self


class MarkersSpec(Spec):
    """Single genes, each a column of the result."""

    kind: Literal["markers"]
    genes: Annotated[
        Annotated[dict[str, Direction], Field(min_length=1), Tag("<mapping>")]
        | Annotated[
            tuple[Label, ...],
            Field(min_length=1),
            BeforeValidator(as_items, json_schema_input_type=list[str]),
            Tag("<list>"),
        ],
        _shapes("a mapping of gene: up|down, or a list of genes"),
    ] = Field(description="GENE: up|down, or a list of genes with `direction`.")
    direction: Direction | None = Field(default=None, description="Direction of all genes, where `genes` is a list.")
    exclude_own_targets: bool = _EXCLUDE_OWN_TARGETS

    @property
    def directions(self) -> dict[str, Direction]:
        """Gene → direction, however it was written."""
        if isinstance(self.genes, tuple):
            return dict.fromkeys(self.genes, self.direction or "up")
        return dict(self.genes)

    @model_validator(mode="after")
    def _check_direction(self) -> MarkersSpec:
        if isinstance(self.genes, tuple) and self.direction is None:
            refuse((("genes",), "a list of genes needs `direction: up` or `direction: down`"))
        if not isinstance(self.genes, tuple) and self.direction is not None:
            refuse((("direction",), "every gene has its own direction already; leave this out"))
        return self


ObjectiveSpec = Annotated[
    SignatureSpec | TargetStateSpec | MarkersSpec | PopulationSpec | ConnectivitySpec | PluginObjectiveSpec,
    Field(discriminator="kind"),
]


PAPER_SAMPLER: Mapping[str, Any] = {"kind": "sampled", "schedule": "cosine", "steps": 3}
"""The published sampler for perturbations (arXiv 2603.25240); its guidance depends on what is screened."""
PAPER_GUIDANCE: Mapping[str, float] = {"genetic": 2.0, "cytokine": 3.0}
"""The published strength of guidance by type of perturbation; for other types none was published."""


PRECISION = "precision"
"""Kind of the choice of shards that `EstimatorSpec.precision` makes."""
PRECISION_SHARDS = 512
"""Most shards of a condition where a precision is asked for and no cap is given."""


class EstimatorSpec(Spec):
    """How the effect of a condition is estimated."""

    sampler: Literal["screening", "paper"] = Field(
        default="screening",
        description="screening: the fields as they are; paper: the published sampler stands in for fields left out.",
    )
    kind: Literal["variance_reduced", "sampled"] = Field(
        default="variance_reduced", description="variance_reduced: expectations, few passes; sampled: draw cells."
    )
    steps: int = Field(default=6, ge=1, le=1000, description="Steps in which a cell's genes are revealed.")
    schedule: Literal["geometric", "uniform", "cosine"] = Field(
        default="geometric", description="How many genes each step reveals."
    )
    guidance: float = Field(
        default=0.0, ge=0, le=20, description="Strength of guidance against the control label; 0 for none."
    )
    shards: int = Field(
        default=8,
        ge=MIN_SHARDS,
        le=1_000_000,
        description="Independent replicates; the standard error comes from them.",
    )
    precision: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Standard error of the effect, in its unit: every condition gets shards until it has it. `shards`"
        " is the cap then, 512 if left out.",
    )
    depth_strata: int = Field(
        default=16, ge=1, le=65_536, description="Cells a shard, one for each stratum of the control's depths."
    )
    store_cells: bool = Field(default=False, description="Keep the drawn cells; for kind: sampled only.")
    prior: Literal["none", "published"] = Field(
        default="none",
        description="published: pre-fill the target and the genes that the perturbation lowers in other contexts.",
    )

    @property
    def passes_per_cell(self) -> int:
        """Forward passes of the model for one cell; guidance asks the control's branch too."""
        return self.steps * (2 if self.guidance else 1)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_paper(cls, data: Any) -> Any:
        is_paper = isinstance(data, Mapping) and data.get("sampler") == "paper"
        return {**PAPER_SAMPLER, **data} if is_paper else data

    @model_validator(mode="before")
    @classmethod
    def _fill_in_cap(cls, data: Any) -> Any:
        is_asked = isinstance(data, Mapping) and data.get("precision") is not None
        return {"shards": PRECISION_SHARDS, **data} if is_asked else data

    @model_validator(mode="after")
    def _check_paper(self) -> EstimatorSpec:
        # Steps and guidance are settings of the published sampler; another kind or schedule is another sampler.
        findings: list[tuple[FieldPath, str]] = [
            ((field,), f"the published sampler has {field}: {PAPER_SAMPLER[field]}; leave `sampler: paper` or this out")
            for field in ("kind", "schedule")
            if self.sampler == "paper" and getattr(self, field) != PAPER_SAMPLER[field]
        ]
        if findings:
            refuse(*findings)
        return self

    @model_validator(mode="after")
    def _check_store(self) -> EstimatorSpec:
        if self.store_cells and self.kind != "sampled":
            refuse((("store_cells",), "variance_reduced draws no cells that could be kept; use kind: sampled"))
        return self


def _paper_guidance(perturbations: PerturbationsSpec) -> float:
    """Return the published guidance for the types that are screened, if there is one for all of them."""
    types = [name for name in type(perturbations).model_fields if getattr(perturbations, name) not in ((), None)]
    if perturbations.pairs is not None:
        types = list(dict.fromkeys(perturbations.pairs.of if name == "pairs" else name for name in types))
    if len(types) == 1 and types[0] in PAPER_GUIDANCE:
        return PAPER_GUIDANCE[types[0]]
    published = ", ".join(f"{strength:g} for {name}" for name, strength in PAPER_GUIDANCE.items())
    refuse(
        (
            ("estimator", "sampler"),
            f"the published guidance is {published} perturbations, and this screen has {' and '.join(types)}: set"
            " estimator.guidance, or screen the types one by one",
        )
    )


class AllocationSpec(Spec):
    """Which conditions get how many shards."""

    kind: Literal["uniform", "halving", "certified"] = Field(
        default="uniform",
        description="uniform: the same for all; halving: more for those that do well; certified: until the best are"
        " known to epsilon with confidence 1 - delta.",
    )
    top: int = Field(default=50, ge=1, description="How many conditions are looked for, over all contexts.")
    first: int = Field(
        default=MIN_SHARDS,
        ge=MIN_SHARDS,
        multiple_of=MIN_SHARDS,
        description="Shards of every condition before anything is decided, in eights; `estimator.shards` is the cap.",
    )
    factor: int = Field(
        default=4, ge=2, le=16, description="halving: one in so many gets so many times the shards of the rung below."
    )
    epsilon: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="certified: indifference, in the unit of the score."
    )
    delta: float = Field(default=0.05, gt=0, lt=1, description="certified: chance that any of its statements is wrong.")

    @model_validator(mode="after")
    def _check_fields(self) -> AllocationSpec:
        parts = {"halving": {"top", "first", "factor"}, "certified": {"top", "first", "epsilon", "delta"}}
        given = self.model_fields_set - {"kind"} - parts.get(self.kind, set())
        unused = [name for name in type(self).model_fields if name in given and self._says_something(name)]
        findings: list[tuple[FieldPath, str]] = [
            ((name,), f"has no part in kind: {self.kind}; leave it out, or choose another kind") for name in unused
        ]
        if self.kind == "certified" and self.epsilon is None:
            findings.append((("epsilon",), "kind: certified needs `epsilon`, an indifference in the unit of the score"))
        if findings:
            refuse(*findings)
        return self

    def _says_something(self, name: str) -> bool:
        # What a resolved campaign wrote out in full is no choice.
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    def choice(self) -> dict[str, Any] | None:
        """Return what decides which shards are computed; None where all get the same."""
        common = {"kind": self.kind, "top": self.top, "first": self.first}
        if self.kind == "halving":
            return {**common, "factor": self.factor}
        return {**common, "epsilon": self.epsilon, "delta": self.delta} if self.kind == "certified" else None


class BudgetSpec(Spec):
    """Limits above which a plan is refused; an allocation that chooses keeps within them, and hours stop a run."""

    conditions: int | None = Field(default=None, ge=1, description="Conditions, controls included; null for no limit.")
    cells: int | None = Field(
        default=None, ge=1, description="Cells: conditions x members x shards x depth_strata; null for no limit."
    )
    passes: int | None = Field(
        default=None, ge=1, description="Passes of the model: cells x steps, twice with guidance; null for no limit."
    )
    gpu_hours: float | None = Field(
        default=None, gt=0, description="Hours of GPUs: replicas x gpus_per_replica x time; null for no limit."
    )
    money: float | None = Field(
        default=None, gt=0, description="Hours of replicas x price_per_hour; null for no limit."
    )
    price_per_hour: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="What an hour of one replica costs, in any currency."
    )

    @model_validator(mode="after")
    def _check_price(self) -> BudgetSpec:
        if (self.money is None) != (self.price_per_hour is None):
            missing = "price_per_hour" if self.price_per_hour is None else "money"
            refuse(((missing,), "is missing: money is hours of replicas x price_per_hour, so give both or neither"))
        return self


class HitsSpec(Spec):
    """What makes a condition a hit; needs a model that was trained with ``pseudo_perturbations``."""

    fdr: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="False discovery rate under the model: of the hits, the share without an effect.",
    )
    minimum_effect: float = Field(
        default=0.0,
        ge=0,
        description="What a score has to be above the null, in the unit of the score; never less than the null's own"
        " minimum effect.",
    )
    tails: Literal["learned", "heaviest", "normal", "empirical"] = Field(
        default="learned",
        description="How far out the null may reach: learned, shapes with heavier and lighter tails weighed by the"
        " pseudo-perturbations; heaviest, the heaviest of these shapes; normal, assumed; empirical, ranks among the"
        " pseudo-perturbations.",
    )


class ScreenSpec(Spec):
    """A screen, ``kind: screen``."""

    kind: Literal["screen"] = Field(description="What the file is.")
    name: CampaignName = Field(description="Name of the campaign: letters, digits, . _ -")
    model: Models = Field(
        description="Folder of the checkpoint or the ensemble, or a list of checkpoints: local paths or s3:// URLs."
    )
    contexts: Contexts = Field(
        description="Contexts: all_seen, a list of {factor: value}, a product, or {file: contexts.csv}."
    )
    perturbations: PerturbationsSpec = Field(description="What to try.")
    objective: ObjectiveSpec = Field(description="What you want the cells to do.")
    estimator: EstimatorSpec = Field(default=EstimatorSpec(), description="How effects are estimated.")
    allocation: AllocationSpec = Field(
        default=AllocationSpec(), description="Which conditions get how many shards; all the same if left out."
    )
    hits: HitsSpec = Field(default=HitsSpec(), description="What makes a condition a hit.")
    evidence: EvidenceSpec = Field(default=EvidenceSpec(), description="What is gathered beside the hits.")
    safety: SafetySpec | None = Field(default=None, description="Side effects that a hit must not have.")
    seed: Seed = Field(default=0, description="Root seed of every random number of the screen.")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="Limits above which the plan is refused.")
    output: Location = Field(description="Folder of the results: local path or s3:// URL.")
    cache: Location | None = Field(
        default=None,
        description="Folder of blocks that campaigns share: local path or s3:// URL; null keeps them in `output`.",
    )
    publish: PublishSpec = Field(default=PublishSpec(), description="Where hits are published besides `output`.")
    compute: ComputeSpec = Field(default=ComputeSpec(), description="Where the screen runs.")
    across: AcrossSpec | None = Field(
        default=None,
        description="Pan-context, selective and patient-specific hits; the first two by default, if one factor varies.",
    )

    @model_validator(mode="after")
    def _fill_in_guidance(self) -> ScreenSpec:
        if self.estimator.sampler == "paper" and "guidance" not in self.estimator.model_fields_set:
            guided = self.estimator.model_copy(update={"guidance": _paper_guidance(self.perturbations)})
            # Frozen is what the spec is from here on; until now it was being made.
            object.__setattr__(self, "estimator", guided)
        return self

    @model_validator(mode="after")
    def _check_population(self) -> ScreenSpec:
        if not isinstance(self.objective, PopulationSpec):
            return self
        if self.estimator.kind != "sampled":
            text = "a population is measured on drawn cells, and variance_reduced draws none"
            refuse((("objective", "kind"), f"{text}; set `estimator: {{kind: sampled}}`"))
        if self.estimator.depth_strata < 2:
            text = "a shard of one cell has no spread, and an objective of kind population needs one"
            refuse((("estimator", "depth_strata"), f"{text}; set 2 at least"))
        return self

    @property
    def holds_cells(self) -> bool:
        """Whether blocks hold the drawn cells: because they are asked for, or the objective is scored from them."""
        return self.estimator.store_cells or isinstance(self.objective, PopulationSpec)

    @property
    def models(self) -> tuple[str, ...]:
        """The folders that `model` names, however it was written."""
        return (self.model,) if isinstance(self.model, str) else self.model

    @model_validator(mode="after")
    def _check_output(self) -> ScreenSpec:
        if self.output.rstrip("/") in [model.rstrip("/") for model in self.models]:
            refuse((("output",), "is the model's folder; give the results one of their own"))
        taken = [each.rstrip("/") for each in (*self.models, self.output)]
        if self.cache is not None and self.cache.rstrip("/") in taken:
            refuse((("cache",), "is the folder of the results or of a model; name another, or leave this out"))
        shared = self.publish.delta
        if shared is not None and shared.rstrip("/") in [*taken, (self.cache or "").rstrip("/")]:
            text = "is the folder of the results, of the cache or of a model; give the table one of its own"
            refuse((("publish", "delta"), text))
        return self

    @property
    def choice(self) -> dict[str, Any] | None:
        """What decides which shards are computed: the allocation or a precision; None where all get the same."""
        if self.estimator.precision is None:
            return self.allocation.choice()
        return {"kind": PRECISION, "precision": self.estimator.precision, "first": MIN_SHARDS}

    @model_validator(mode="after")
    def _check_precision(self) -> ScreenSpec:
        if self.estimator.precision is None:
            return self
        if self.allocation.kind != "uniform":
            text = f"decides how many shards a condition gets, and so does allocation.kind: {self.allocation.kind}"
            refuse((("estimator", "precision"), f"{text}; leave one of them out"))
        if self.estimator.shards <= MIN_SHARDS:
            text = (
                f"is {self.estimator.shards}, the cap of a condition, and all get {MIN_SHARDS} at first, so nothing is"
                f" left to estimator.precision: raise it, or leave it out for {PRECISION_SHARDS}"
            )
            refuse((("estimator", "shards"), text))
        return self

    @model_validator(mode="after")
    def _check_allocation(self) -> ScreenSpec:
        if self.allocation.kind != "uniform" and self.estimator.shards <= self.allocation.first:
            text = (
                f"is {self.estimator.shards}, the cap of a condition, and all get {self.allocation.first} at first"
                f" (allocation.first), so nothing is left to {self.allocation.kind}: raise it, to 512 for example"
            )
            refuse((("estimator", "shards"), text))
        if self.budget.gpu_hours is not None and not self.compute.gpus_per_replica:
            refuse((("budget", "gpu_hours"), "limits GPUs, and compute.gpus_per_replica is 0: set money, or GPUs"))
        return self
