"""``split:`` of an evaluation — what is kept from the models, and asked of them afterwards.

A split is a list of folds. In each fold something is held out (a perturbation, a combination of context and
perturbation, a donor, a scaffold), the rest is there to learn from, and the conditions that were held out are the
questions. Cells of one condition are never divided at random and called generalisation.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from campaigns.spec import Label, Labels, Location, Seed, Spec, as_items, distinct, refuse

Folds = Annotated[int, Field(ge=1, le=10_000)]
SeveralFolds = Annotated[int, Field(ge=2, le=10_000)]
"""Where all are dealt: one fold would leave nothing to learn from."""
Role = Annotated[Label, Field(description="A name under data.columns.")]
OwnControls = Literal["trained", "adapted", "none"]

_BLOCKS_DEALT = "How many folds the blocks are dealt to; null for a fold each."
_VALUES_DEALT = "How many folds the values are dealt to; null for a fold each."
_PERTURBATIONS = "Perturbations to hold out; null for all that have enough cells."


class SplitRules(Spec):
    """What every split has."""

    seed: Seed = Field(default=0, description="Seed of everything that is drawn: folds, halves, calibration.")
    minimum_cells: int = Field(
        default=60,
        ge=2,
        le=1_000_000,
        description="A condition is asked if it has at least this many perturbed cells, and its context as many "
        "controls.",
    )
    controls: Literal["halved", "shared"] = Field(
        default="halved",
        description="halved: half of the control cells of a context that is asked about are kept out of the training, "
        "and effects are measured against them alone; shared: all are trained on and measured against.",
    )
    calibration: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of what isn't held out for the questions that is held out too, in the same way, to correct "
        "intervals with; 0 for none.",
    )
    pool: Annotated[tuple[str, ...], AfterValidator(distinct), BeforeValidator(as_items)] = Field(
        default=(),
        json_schema_extra={"items": {"type": "string"}},
        description="Factors of the context that questions leave open, such as donor: their cells are pooled.",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names under data.columns that the split uses."""
        used = [getattr(self, name) for name in ("factor", "column") if hasattr(self, name)]
        return tuple(dict.fromkeys([*used, *self.pool]))


class UnseenPerturbationSplit(SplitRules):
    """Perturbations that were never seen, in contexts that were: k folds over the perturbations, or a list of them.

    Combinations that contain a held-out perturbation are kept out of the training as well.
    """

    kind: Literal["unseen_perturbation"]
    folds: SeveralFolds = Field(default=5, description="How many folds the perturbations are dealt to.")
    perturbations: Labels | None = Field(default=None, description="Hold out these, in one fold; null for `folds`.")

    @model_validator(mode="after")
    def _check_folds(self) -> UnseenPerturbationSplit:
        if self.perturbations is not None and "folds" in self.model_fields_set:
            refuse((("folds",), "`perturbations` lists what is held out, in one fold; leave one of the two out"))
        return self


class CombinationSplit(SplitRules):
    """Context and perturbation both seen, their combination not: one block of cells after the other is held out."""

    kind: Literal["combination"]
    factor: Role = Field(default="cell_type", description="The factor of the context whose values are combined.")
    values: Labels | None = Field(default=None, description="Values of the factor to hold out; null for all.")
    perturbations: Labels | None = Field(default=None, description=_PERTURBATIONS)
    folds: Folds | None = Field(default=None, description=_BLOCKS_DEALT)


class UnseenContextSplit(SplitRules):
    """A context in which no perturbation was seen; one value of a factor after the other is left out."""

    kind: Literal["unseen_context"]
    factor: Role = Field(default="cell_type", description="The factor of the context whose values are left out.")
    values: Labels | None = Field(default=None, description="Values of the factor to leave out; null for all.")
    folds: Folds | None = Field(default=None, description=_VALUES_DEALT)
    own_controls: OwnControls = Field(
        default="trained",
        description="Control cells of the context left out that effects aren't measured against. trained: they stay in "
        "the training; adapted: a trained model is adapted to them; none: nobody sees them.",
    )


class DoubleUnseenSplit(SplitRules):
    """A context and a perturbation that were both never seen."""

    kind: Literal["double_unseen"]
    factor: Role = Field(default="cell_type", description="The factor of the context whose values are left out.")
    values: Labels | None = Field(default=None, description="Values of the factor to leave out; null for all.")
    perturbations: Labels | None = Field(default=None, description=_PERTURBATIONS)
    folds: Folds = Field(default=5, description="How many folds the perturbations are dealt to, for each value.")
    own_controls: OwnControls = Field(default="trained", description="As in `unseen_context`.")


class DonorPerturbationSplit(SplitRules):
    """Some donors, of whom only some perturbations were seen, such as 63 of 90 cytokines unseen in 4 of 12 donors."""

    kind: Literal["donor_perturbation"]
    factor: Role = Field(default="donor", description="The factor of the context; donors most often.")
    values: Labels | None = Field(default=None, description="Values of the factor to hold out; null for all.")
    perturbations: Labels | None = Field(default=None, description="Perturbations to draw from; null for all.")
    share: float = Field(
        default=0.7, gt=0, le=1, description="Share of the perturbations that is held out in these donors."
    )
    folds: Folds | None = Field(default=None, description=_VALUES_DEALT)


class PartsSplit(SplitRules):
    """Combinations of perturbations of which none, some or all parts were seen by themselves."""

    kind: Literal["parts"]
    seen: Annotated[
        tuple[Annotated[int, Field(ge=0, le=10)], ...],
        Field(min_length=1),
        AfterValidator(distinct),
        BeforeValidator(as_items, json_schema_input_type=list[int]),
    ] = Field(default=(0, 1, 2), description="How many parts of a combination were seen; folds of their own each.")
    hide_singles: bool = Field(
        default=False,
        description="Also hide parts that are there by themselves, so that every combination is asked with fewer parts "
        "seen.",
    )


class DrugSplit(SplitRules):
    """What splits by the structures of drugs have."""

    file: Location = Field(description="Structures of the drugs as .csv, .tsv (also .gz) or .parquet.")
    name: Label = Field(default="name", description="Column of the names, as in the data.")
    smiles: Label = Field(default="smiles", description="Column of the SMILES.")
    folds: SeveralFolds = Field(default=5, description="How many folds the groups of drugs are dealt to.")


class ScaffoldSplit(DrugSplit):
    """Drugs whose Murcko scaffold was never seen."""

    kind: Literal["scaffold"]


class TanimotoSplit(DrugSplit):
    """Drugs that are unlike all that were seen: clusters of drugs that are alike are held out together."""

    kind: Literal["tanimoto"]
    threshold: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Tanimoto similarity of Morgan fingerprints from which two drugs are alike.",
    )


class StemFamilies(Spec):
    """Families by the stems of symbols, STAT1 and STAT5A as STAT: a rule of thumb where there is no table."""

    kind: Literal["stems"]


class GeneSetFamilies(Spec):
    """Families as gene sets."""

    kind: Literal["gene_sets"]
    file: Location = Field(description="A .gmt file, also compressed with gzip: a set a family.")


class TableFamilies(Spec):
    """Families as a table of genes."""

    kind: Literal["table"]
    file: Location = Field(description="Genes as .csv, .tsv (also .gz) or .parquet.")
    gene: Label = Field(default="gene", description="Column of the genes.")
    family: Label = Field(default="family", description="Column of the families.")


class ParalogueFamilies(Spec):
    """Families as pairs of paralogues: genes that a chain of pairs joins are one family."""

    kind: Literal["paralogues"]
    file: Location = Field(description="Pairs as .csv, .tsv (also .gz) or .parquet.")
    gene: Label = Field(default="gene", description="Column of one gene.")
    paralogue: Label = Field(default="paralogue", description="Column of the other gene.")
    identity: Label | None = Field(
        default=None, description="Column with their sequence identity in percent; null where the table has none."
    )
    threshold: float = Field(default=30.0, ge=0, le=100, description="Pairs of less identity, in percent, don't count.")

    @model_validator(mode="after")
    def _check_threshold(self) -> ParalogueFamilies:
        if self.identity is None and "threshold" in self.model_fields_set:
            refuse((("threshold",), "needs the column of the identities; name it with `identity`"))
        return self


Families = Annotated[StemFamilies | GeneSetFamilies | TableFamilies | ParalogueFamilies, Field(discriminator="kind")]


class GeneFamilySplit(SplitRules):
    """Genes of whose family none was seen: paralogues are never on both sides."""

    kind: Literal["gene_family"]
    families: Families = Field(default=StemFamilies(kind="stems"), description="What a family is.")
    folds: SeveralFolds = Field(default=5, description="How many folds the families are dealt to.")


class BatchSplit(SplitRules):
    """A batch, study or plate that was never seen, with its controls: all its cells are held out."""

    kind: Literal["batch"]
    column: Role = Field(default="batch", description="The name under data.columns; it need not be in the context.")
    values: Labels | None = Field(default=None, description="Values to hold out; null for all.")
    folds: Folds | None = Field(default=None, description=_VALUES_DEALT)


class ReplicateSplit(SplitRules):
    """A replicate of every condition, whose controls were seen: its perturbed cells alone are held out."""

    kind: Literal["replicate"]
    column: Role = Field(default="replicate", description="The name under data.columns; it need not be in the context.")
    values: Labels | None = Field(default=None, description="Values to hold out; null for all.")
    folds: Folds | None = Field(default=None, description=_VALUES_DEALT)


class GuideSplit(SplitRules):
    """Guides that were never seen, of targets that were seen by other guides."""

    kind: Literal["guide"]
    column: Role = Field(default="guide", description="The name under data.columns that says which guide a cell has.")
    folds: int = Field(default=2, ge=2, le=1_000, description="The guides of each target are dealt to so many folds.")


SplitSpec = Annotated[
    UnseenPerturbationSplit
    | CombinationSplit
    | UnseenContextSplit
    | DoubleUnseenSplit
    | DonorPerturbationSplit
    | PartsSplit
    | ScaffoldSplit
    | TanimotoSplit
    | GeneFamilySplit
    | BatchSplit
    | ReplicateSplit
    | GuideSplit,
    Field(discriminator="kind"),
]
"""One of the kinds, chosen by ``kind``."""
