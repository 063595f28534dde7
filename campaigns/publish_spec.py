"""``publish:`` of a screen — where its hits go besides its own folder of results, and how many effects there are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from campaigns.spec import Location, Spec


class PublishSpec(Spec):
    """Where the ranked table is published besides ``output``, and of which conditions the effects are."""

    delta: Location | None = Field(
        default=None,
        description="Delta table of hits that campaigns share: local folder or s3:// URL; made if it isn't there.",
    )
    effects: Literal["best", "all"] = Field(
        default="best",
        description="`all`: effects of every condition too, as effects.zarr; best: those that effects.h5ad holds.",
    )
