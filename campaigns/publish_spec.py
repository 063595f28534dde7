"""``publish:`` of a screen — where its hits go besides its own folder of results."""

from __future__ import annotations

from pydantic import Field

from campaigns.spec import Location, Spec


class PublishSpec(Spec):
    """Where the ranked table is published besides ``output``."""

    delta: Location | None = Field(
        default=None,
        description="Delta table of hits that campaigns share: local folder or s3:// URL; made if it isn't there.",
    )
