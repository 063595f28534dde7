"""A campaign made ready: what the YAML asks, what the model knows, and the plan that follows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaigns.conditions import Context
from campaigns.plan import Plan, make_plan
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_screen
from campaigns.validation import validate
from campaigns.vocabulary import Vocabulary as PlainVocabulary
from campaigns.yaml_source import Source
from lingshu_core.checkpoint import CheckpointHeader, load_header
from lingshu_core.depths import pooled_depths
from lingshu_core.estimator import SAMPLER_VERSION
from screening.hits import RunFacts
from screening.objectives import Readout
from screening.readouts import build_readouts


@dataclass(frozen=True)
class Campaign:
    """A campaign file beside the header of its model."""

    spec: ScreenSpec
    source: Source
    model: CheckpointHeader


@dataclass(frozen=True)
class PlannedCampaign:
    """A campaign with its plan and the weights of its objective in every context."""

    campaign: Campaign
    plan: Plan
    readouts: Mapping[Context, Readout]

    @property
    def facts(self) -> RunFacts:
        """What all rows of the hit table share."""
        spec, model = self.campaign.spec, self.campaign.model
        return RunFacts(
            run_id=self.plan.run_id,
            model_digest=model.digest,
            estimator=spec.estimator.kind,
            steps=spec.estimator.steps,
            schedule=spec.estimator.schedule,
            guidance=spec.estimator.guidance,
            paths=str(model.card["paths"]),
            seed=spec.seed,
        )


def load_campaign(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Campaign:
    """Read a campaign file and the header of the model that it names.

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
        If its model can't be used.
    """
    loaded = load_screen(path)
    spec = override(loaded.spec, overrides or {})
    return Campaign(spec, loaded.source, load_header(spec.model))


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
    options = ", ".join(f"--{name}" for name in given)
    return validate(type(spec), Source(f"command line ({options})", content)) if given else spec


def plan_campaign(campaign: Campaign) -> PlannedCampaign:
    """Cut the campaign into conditions and blocks and build the weights of its objective.

    Raises
    ------
    VocabularyError
        With everything that the model doesn't know.
    PlanError
        If nothing is left to screen or the budget is too small.
    ObjectiveError, DataError
        If the objective can't be made of the cells that it names.
    """
    model = campaign.model
    plan = make_plan(
        campaign.spec,
        PlainVocabulary.from_json(model.vocabulary.to_json()),
        model_digest=model.digest,
        control_set_digest=lambda context: _depth_digest(model, context),
        panel_digest=hashlib.sha256("\n".join(model.vocabulary.genes).encode()).hexdigest(),
        sampler_version=str(SAMPLER_VERSION),
        source=campaign.source,
    )
    readouts = build_readouts(
        campaign.spec.objective, plan.objective["resolved"], model.vocabulary.genes, tuple(plan.control_sets)
    )
    return PlannedCampaign(campaign, plan, readouts)


def _depth_digest(model: CheckpointHeader, context: Context) -> str:
    depths = pooled_depths(model.vocabulary, model.control_depths, context.as_dict())
    return hashlib.sha256(depths.tobytes()).hexdigest()
