"""What a run tells beside its stages and its progress: what it is, where its links lead, and who leads so far.

News are the latest state and no event: whoever begins to watch late gets all of them. They cross processes as plain
data (`actors.job.Board.news`, `actors.heartbeat.Heartbeat.news`), and what comes from a store is checked when it is
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from actors.errors import CorruptBlob
from actors.strict_json import Fields, check_object
from campaigns.errors import printable
from screening.objective.objectives import UNITS
from screening.planning.campaign import PlannedCampaign

LONGEST_LABEL = 200
"""Characters of a label in the news: a beat has to stay small."""


@dataclass(frozen=True, slots=True)
class Leader:
    """A condition that leads so far, with its score and the Monte Carlo standard error of it."""

    perturbation: str
    context: str
    score: float
    score_se: float


@dataclass(frozen=True, slots=True)
class Leading:
    """The best conditions by what is committed, best first. It is preliminary: no null, no decisions, no gates.

    Attributes
    ----------
    scored, conditions
        Conditions that were scored for it, of those that the campaign ranks.
    unit
        Of the scores.
    why_not
        Why there is no such ranking; empty where there is one.
    """

    leaders: tuple[Leader, ...] = ()
    scored: int = 0
    conditions: int = 0
    unit: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class RunNews:
    """What is known of a run beside where it is.

    Attributes
    ----------
    name, run_id, output
        Of the campaign; `run_id` is empty until it is planned.
    dashboard
        URL of Ray's dashboard, empty where there is none.
    conditions
        Rows that the ranked table will have.
    cells_per_block, passes_per_cell
        What turns blocks a second into cells and passes of the model a second; 0 where there is no such number.
    folded
        Conditions scored so far in the stage *score*.
    leading
        None before the first look.
    """

    name: str = ""
    run_id: str = ""
    output: str = ""
    dashboard: str = ""
    conditions: int = 0
    cells_per_block: float = 0.0
    passes_per_cell: int = 0
    folded: int = 0
    leading: Leading | None = field(default=None)

    @classmethod
    def of(cls, planned: PlannedCampaign) -> RunNews:
        """Say what is known once a campaign is planned."""
        plan = planned.plan
        return cls(
            name=plan.name,
            run_id=plan.run_id,
            output=planned.campaign.spec.output,
            conditions=sum(each.role == "perturbation" for each in plan.conditions),
            cells_per_block=plan.n_cells / max(len(plan.blocks), 1),
            passes_per_cell=planned.campaign.passes_per_cell,
        )

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> RunNews | None:
        """Read what another process has told; None where it has told nothing, or what this version can't read."""
        try:
            content = _shown(check_object(dict(data), _NEWS, "news"))
            if content["leading"] is not None:
                content["leading"] = _leading_of(content["leading"])
        except CorruptBlob:
            return None
        return cls(**content)


_NEWS: Fields = {
    **dict.fromkeys(("name", "run_id", "output", "dashboard"), str),
    **dict.fromkeys(("conditions", "passes_per_cell", "folded"), int),
    "cells_per_block": float,
    "leading": (dict, type(None)),
}
_LEADING: Fields = {"leaders": (list, tuple), "scored": int, "conditions": int, "unit": str, "why_not": str}
_LEADER: Fields = {"perturbation": str, "context": str, "score": float, "score_se": float}


def _leading_of(data: object) -> Leading:
    content = _shown(check_object(data, _LEADING, "news"))
    leaders = tuple(Leader(**_shown(check_object(each, _LEADER, "news"))) for each in content.pop("leaders"))
    return Leading(leaders, **content)


def _shown(content: Mapping[str, Any]) -> dict[str, Any]:
    """What could steer a terminal is escaped: it may come from a store."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in content.items()}


class NewsDesk:
    """Keeps the latest news of a run and passes on what changes."""

    def __init__(self, planned: PlannedCampaign, tell: Callable[[RunNews], None]) -> None:
        self._tell = tell
        self.news = RunNews.of(planned)

    def report(self, **changes: Any) -> None:
        """Put something into the news, and tell it if it is new."""
        changed = replace(self.news, **changes)
        if changed != self.news:
            self.news = changed
            self._tell(changed)

    def begin(self, **changes: Any) -> None:
        """Put something into the news, and tell all there is: somebody may only just have begun to hear."""
        self.news = replace(self.news, **changes)
        self._tell(self.news)


def unit_of(planned: PlannedCampaign) -> str:
    """Name the unit of a campaign's scores."""
    return UNITS[next(iter(planned.readouts.values())).normalisation]
