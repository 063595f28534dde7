"""Campaigns: YAML files that say what to train and what to screen, checked without a model or a cluster.

A file goes through four steps, each with its own kind of error::

    screen.yaml ─ read_yaml ─▶ plain data + lines      YamlError
                ─ validate ──▶ ScreenSpec              SpecError
    vocabulary  ─ build_grid ▶ conditions              VocabularyError
    digests     ─ make_plan ─▶ keys and fixed blocks   PlanError

Nothing here imports torch, ray or numpy: only the standard library, pydantic and PyYAML.
"""

from campaigns.chaos_spec import ChaosSpec
from campaigns.conditions import CONTROL, Condition, Context, Perturbation, PerturbationPart, split_combination
from campaigns.digests import canonical_json, digest
from campaigns.errors import (
    BudgetError,
    CampaignError,
    EmptyGridError,
    EnsembleError,
    GeneSetError,
    PlanError,
    PlanFileError,
    Problem,
    SpecError,
    VocabularyError,
    Where,
    YamlError,
)
from campaigns.evaluation_spec import EvaluateSpec
from campaigns.gene_sets import GeneSet, PanelGenes, find_gene_set, read_gene_sets, restrict_to_panel
from campaigns.generation_condition import resolve_condition
from campaigns.generation_spec import GenerateSpec
from campaigns.grid import Grid, build_grid
from campaigns.json_schema import schema
from campaigns.objective_genes import ObjectiveGenes, resolve_objective
from campaigns.plan import Block, Plan, PlanInputs, PlannedCondition, make_plan
from campaigns.screen_spec import ScreenSpec
from campaigns.source import (
    Loaded,
    dump_spec,
    load_any,
    load_chaos,
    load_evaluation,
    load_generation,
    load_screen,
    load_training,
)
from campaigns.training_spec import TrainSpec
from campaigns.vocabulary import SeenContext, SeenPerturbation, Vocabulary
from campaigns.yaml_source import Source

__all__ = [
    "CONTROL",
    "Block",
    "BudgetError",
    "CampaignError",
    "ChaosSpec",
    "Condition",
    "Context",
    "EmptyGridError",
    "EnsembleError",
    "EvaluateSpec",
    "GeneSet",
    "GeneSetError",
    "GenerateSpec",
    "Grid",
    "Loaded",
    "ObjectiveGenes",
    "PanelGenes",
    "Perturbation",
    "PerturbationPart",
    "Plan",
    "PlanError",
    "PlanFileError",
    "PlanInputs",
    "PlannedCondition",
    "Problem",
    "ScreenSpec",
    "SeenContext",
    "SeenPerturbation",
    "Source",
    "SpecError",
    "TrainSpec",
    "Vocabulary",
    "VocabularyError",
    "Where",
    "YamlError",
    "build_grid",
    "canonical_json",
    "digest",
    "dump_spec",
    "find_gene_set",
    "load_any",
    "load_chaos",
    "load_evaluation",
    "load_generation",
    "load_screen",
    "load_training",
    "make_plan",
    "read_gene_sets",
    "resolve_condition",
    "resolve_objective",
    "restrict_to_panel",
    "schema",
    "split_combination",
]
