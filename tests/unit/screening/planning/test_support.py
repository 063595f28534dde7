from dataclasses import replace

from screening.planning.campaign import PlannedCampaign
from screening.planning.support import describe_support


def test_what_predictions_rest_on_is_said_in_numbers(planned: PlannedCampaign) -> None:
    plan = planned.plan
    assert describe_support(plan) == "support: all 3 conditions in_vocabulary"
    first, *others = plan.conditions
    mixed = replace(plan, conditions=(first, *(replace(each, support="features_only") for each in others)))
    assert describe_support(mixed).startswith("support: 1 conditions in_vocabulary, 2 features_only (a part or the")
