"""A campaign made ready: what the YAML asks, what the model knows, and the plan that follows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from campaigns.conditions import Context
from campaigns.errors import VocabularyError
from campaigns.plan import Plan, ensemble_digest, make_plan
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_screen
from campaigns.validation import validate
from campaigns.vocabulary import Vocabulary as PlainVocabulary
from campaigns.yaml_source import Source
from lingshu_core.checkpoint import PRIORS, CheckpointHeader, is_baseline
from lingshu_core.depths import pooled_depths
from lingshu_core.estimator import SAMPLER_VERSION
from lingshu_core.prior_genes import PriorInjection
from lingshu_core.state_space import StateSpace
from screening.allocating.allocation_choice import check_allocation
from screening.deciding.hits import RunFacts
from screening.objective.objectives import Readout
from screening.objective.population_readout import PopulationReadout
from screening.objective.readouts import build_readouts
from screening.planning.gates import Gates
from screening.planning.members import Member, load_members
from screening.planning.placed_errors import data_block, placing
from screening.planning.single_ranking import rank_singles
from screening.planning.structures import structure_problem


@dataclass(frozen=True)
class Campaign:
    """A campaign file beside its models: one, or the members of an ensemble in the order of the file."""

    spec: ScreenSpec
    source: Source
    members: tuple[Member, ...]

    @property
    def model(self) -> CheckpointHeader:
        """The model; of an ensemble the first, whose genes, vocabulary and controls are those of all."""
        return self.members[0].header

    @property
    def is_ensemble(self) -> bool:
        """Whether there is more than one model."""
        return len(self.members) > 1

    @property
    def digest(self) -> str:
        """SHA-256 that names the model or the ensemble."""
        digests = [member.header.digest for member in self.members]
        return ensemble_digest(digests) if self.is_ensemble else digests[0]

    @property
    def is_baseline(self) -> bool:
        """Whether the model is a baseline: exact, without denoising steps or guidance."""
        return is_baseline(self.model.card)

    @property
    def passes_per_cell(self) -> int:
        """Forward passes of the model for one cell; a baseline has none."""
        return 0 if self.is_baseline else self.spec.estimator.passes_per_cell

    @property
    def paths(self) -> str:
        """Paths that are on; of members that differ in them, each once."""
        return ", ".join(dict.fromkeys(str(member.header.card["paths"]) for member in self.members))


@dataclass(frozen=True)
class PlannedCampaign:
    """A campaign with its plan, the weights of its objective in every context, and the gates of its models."""

    campaign: Campaign
    plan: Plan
    readouts: Mapping[Context, Readout]
    gates: Gates

    @property
    def facts(self) -> RunFacts:
        """What all rows of the hit table share."""
        spec = self.campaign.spec
        return RunFacts(
            run_id=self.plan.run_id,
            model_digest=self.campaign.digest,
            estimator=spec.estimator.kind,
            steps=None if self.campaign.is_baseline else spec.estimator.steps,
            schedule=None if self.campaign.is_baseline else spec.estimator.schedule,
            guidance=None if self.campaign.is_baseline else spec.estimator.guidance,
            paths=self.campaign.paths,
            seed=spec.seed,
        )

    @property
    def spaces(self) -> Mapping[Context, StateSpace]:
        """Where drawn cells are placed, by context; empty unless the objective is one of a population."""
        return {
            context: readout.space
            for context, readout in self.readouts.items()
            if isinstance(readout, PopulationReadout)
        }

    @property
    def gate_notice(self) -> str:
        """What the model cards say of the contexts of the screen."""
        estimator = self.campaign.spec.estimator
        sampler = (estimator.steps, estimator.schedule, estimator.guidance)
        return self.gates.describe(list(self.readouts), None if self.campaign.is_baseline else sampler)

    @cached_property
    def injection(self) -> PriorInjection | None:
        """What the published prior pre-fills; None where the campaign has no prior."""
        model = self.campaign.model
        if self.campaign.spec.estimator.prior == "none" or model.priors is None:
            return None
        return PriorInjection(model.vocabulary, model.priors)


def load_campaign(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Campaign:
    """Read a campaign file and the headers of the models that it names.

    Parameters
    ----------
    path
        A ``kind: screen`` YAML file.
    overrides
        Values that the command line puts in place of the file's: ``output``, ``replicas``, ``backend``.

    Raises
    ------
    CampaignError
        If the file is not a valid campaign.
    CheckpointError
        If a model can't be used.
    """
    loaded = load_screen(path)
    spec = override(loaded.spec, overrides or {})
    with placing(loaded.source):
        return Campaign(spec, loaded.source, load_members(spec, loaded.source))


def override(spec: ScreenSpec, values: Mapping[str, Any]) -> ScreenSpec:
    """Replace ``output`` and fields of ``compute`` that are given (not None), and validate again.

    Raises
    ------
    SpecError
        If what was given doesn't fit with the rest.
    """
    given = {name: value for name, value in values.items() if value is not None}
    content = spec.model_dump(by_alias=True)
    for name, value in given.items():
        (content if name in type(spec).model_fields else content["compute"])[name] = value
    options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    return validate(type(spec), Source(f"command line ({options})", content)) if given else spec


def plan_campaign(campaign: Campaign) -> PlannedCampaign:
    """Cut the campaign into conditions and blocks and build the weights of its objective.

    Raises
    ------
    VocabularyError
        With everything that the model doesn't know, or if it has no priors and the campaign asks for them.
    PlanError
        If nothing is left to screen, the budget is too small, or a certificate can't be had with so few shards.
    ObjectiveError, DataError
        If the objective can't be made of the cells that it names.
    CardError
        If a model card can't be trusted.
    """
    model = campaign.model
    _check_priors(campaign)
    gates = Gates.of(campaign.members)
    plan = make_plan(
        campaign.spec,
        PlainVocabulary.from_json(model.vocabulary.to_json()),
        model_digest=campaign.digest,
        control_set_digest=lambda context: _depth_digest(model, context),
        panel_digest=hashlib.sha256("\n".join(model.vocabulary.genes).encode()).hexdigest(),
        sampler_version=str(SAMPLER_VERSION),
        source=campaign.source,
        structure_problem=structure_problem,
        single_ranking=rank_singles,
        members=[member.planned for member in campaign.members] if campaign.is_ensemble else (),
    )
    check_allocation(plan, campaign.source)
    with placing(campaign.source, data_block(campaign.source)):
        readouts = build_readouts(
            campaign.spec.objective,
            plan.objective["resolved"],
            model.vocabulary.genes,
            tuple(plan.control_sets),
            lambda context: pooled_depths(model.vocabulary, model.control_depths, context.as_dict()),
        )
    return PlannedCampaign(campaign, plan, readouts, gates)


def _check_priors(campaign: Campaign) -> None:
    if campaign.is_baseline and campaign.spec.estimator.prior != "none":
        text = f"{campaign.paths} is a baseline and can't pre-fill genes; set prior: none"
        raise VocabularyError([campaign.source.where(("estimator", "prior")).problem(text)])
    without = [member.name for member in campaign.members if member.header.priors is None]
    if campaign.spec.estimator.prior != "none" and without:
        text = (
            f"{', '.join(without)} was written before checkpoints had priors (there is no {PRIORS}): train again, or"
            " set prior: none"
        )
        raise VocabularyError([campaign.source.where(("estimator", "prior")).problem(text)])


def _depth_digest(model: CheckpointHeader, context: Context) -> str:
    depths = pooled_depths(model.vocabulary, model.control_depths, context.as_dict())
    return hashlib.sha256(depths.tobytes()).hexdigest()
