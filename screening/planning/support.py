"""What the predictions of a plan rest on, in a sentence."""

from __future__ import annotations

from campaigns.plan import Plan


def describe_support(plan: Plan) -> str:
    """Say how many conditions are in the model's vocabulary, and how many it knows by features only."""
    total, described = len(plan.conditions), plan.features_only
    if not described:
        return f"support: all {total:,} conditions in_vocabulary"
    return (
        f"support: {total - described:,} conditions in_vocabulary, {described:,} features_only (a part or the"
        " context was never seen in training; the model goes by features, or by the context's control cells)"
    )
