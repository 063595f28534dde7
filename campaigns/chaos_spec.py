"""``kind: chaos`` — which faults strike a run in a rehearsal, and how often."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from campaigns.spec import CampaignName, Seed, Spec, refuse

WorkerFaultName = Literal["exit", "kill", "hang", "raylet_kill", "slow", "nan", "out_of_memory", "raise"]
StoreFaultName = Literal["403", "409", "412", "429", "500", "503", "lost_answer", "truncated_body", "slow_body"]
REFUSAL: StoreFaultName = "403"


def _whole(shares: dict[Any, float]) -> dict[Any, float]:
    if math.fsum(shares.values()) > 1 + 1e-9:
        refuse(((), f"the shares add up to {math.fsum(shares.values()):g}; all together are 1 at most"))
    return shares


Share = Annotated[float, Field(ge=0, le=1)]


class ChaosSpec(Spec):
    """Faults for a rehearsal, ``kind: chaos``."""

    kind: Literal["chaos"] = Field(description="What the file is.")
    name: CampaignName = Field(description="Name of the plan: letters, digits, . _ -")
    seed: Seed = Field(default=0, description="Same seed, same campaign: the same blocks are struck.")
    workers: Annotated[dict[WorkerFaultName, Share], AfterValidator(_whole)] = Field(
        default_factory=dict,
        description="Fault of a replica: share of the attempts at a block. exit, kill, hang and "
        "raylet_kill need `backend: ray`; raylet_kill needs nodes that are marked for it.",
    )
    store: Annotated[dict[StoreFaultName, Share], AfterValidator(_whole)] = Field(
        default_factory=dict, description="Fault of the store: share of the operations that it can strike."
    )
    strikes: int = Field(
        default=2, ge=1, le=2, description="Attempts at a block that faults cost at most; a block has three."
    )
    always: bool = Field(
        default=False, description="A block that is struck is struck every time, so its condition fails."
    )
    slow_seconds: float = Field(default=1.0, ge=0, le=3600, description="How late a slow replica is.")
    deadline_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="How long a lease may take at least, before its replica is given up."
    )

    @model_validator(mode="after")
    def _check_strikes(self) -> ChaosSpec:
        if not self.workers and not self.store:
            refuse((("workers",), "there is nothing to strike with; name faults in `workers` or `store`"))
        if self.workers and self.store.get(REFUSAL) and self.strikes < 2:
            refuse((("strikes",), f"a {REFUSAL} costs an attempt too: 2, or no {REFUSAL}"))
        if self.always and self.workers.get("raylet_kill"):
            refuse((("always",), "raylet_kill would take node after node down; leave one of them out"))
        return self
