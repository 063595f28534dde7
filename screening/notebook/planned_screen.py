"""A planned campaign for a notebook: what would be computed, and how much of it is there."""

from __future__ import annotations

from functools import cached_property

import polars as pl

from screening.planning.campaign import PlannedCampaign
from screening.watching.status import CampaignStatus


class PlannedScreen:
    """What a campaign would compute; made by `screening.plan`. Its text is that of ``lingshu plan``."""

    def __init__(self, planned: PlannedCampaign, status: CampaignStatus) -> None:
        self.planned, self.status = planned, status

    @cached_property
    def conditions(self) -> pl.DataFrame:
        """The conditions that are asked for: perturbation, its type, context and support; without controls."""
        asked = [each for each in self.planned.plan.conditions if not each.condition.perturbation.is_control]
        rows = [
            {
                "perturbation": each.condition.perturbation.label,
                "perturbation_type": each.condition.perturbation.type,
                "context": each.condition.context.label,
                "support": each.support,
            }
            for each in asked
            if not each.condition.perturbation.is_null
        ]
        names = ("perturbation", "perturbation_type", "context", "support")
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))

    def __str__(self) -> str:
        """Say what ``lingshu plan`` says."""
        from screening.console import describe_plan

        return describe_plan(self.planned, self.status)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from screening.notebook.notebook_html import text_html

        return text_html(str(self))
