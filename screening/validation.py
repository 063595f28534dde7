"""``lingshu validate``: a campaign file, checked without torch, ray or numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from campaigns.plan import make_plan
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_any
from screening.vocabulary_file import read_plain_vocabulary


def validate_campaign(path: Path) -> Iterator[str]:
    """Yield what was found right, a line each.

    Raises
    ------
    CampaignError
        With every problem of the file, each with its line, field and cure.
    """
    loaded = load_any(path)
    yield f"{path}: a valid `kind: {loaded.spec.kind}` file, named {loaded.spec.name!r}"
    spec = loaded.spec
    if not isinstance(spec, ScreenSpec):
        return
    vocabulary = read_plain_vocabulary(spec.model)
    if vocabulary is None:
        yield f"no model in {spec.model} yet: names of genes, contexts and perturbations are unchecked (train it first)"
        return
    # A plan without digests: it finds every problem of grid, objective and budget at once.
    plan = make_plan(
        spec,
        vocabulary,
        model_digest="",
        control_set_digest=lambda context: "",
        panel_digest="",
        sampler_version="",
        source=loaded.source,
    )
    controls = sum(planned.role == "control" for planned in plan.conditions)
    yield f"{len(plan.conditions):,} conditions, {controls:,} of them controls"
    yield from plan.notices
