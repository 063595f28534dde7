from __future__ import annotations

import pytest

from lingshu_core.effect_scores import EFFECT_METRICS
from lingshu_core.metric_catalogue import METRICS, SCALED, metrics_of
from lingshu_core.population_scores import POPULATION_METRICS


def test_every_metric_that_is_measured_is_in_the_catalogue() -> None:
    plain = [each.name for each in metrics_of("effects") if not each.name.endswith(SCALED)]
    assert sorted(plain) == sorted(EFFECT_METRICS)
    assert sorted(each.name for each in metrics_of("population")) == sorted(POPULATION_METRICS)


def test_the_six_have_a_scaled_twin_that_goes_up() -> None:
    six = [each for each in metrics_of("cell_eval2") if not each.name.endswith(SCALED)]
    assert len(six) == 6
    for each in six:
        assert METRICS[f"{each.name}{SCALED}"].higher_is_better is True


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_nothing_is_better_than_perfect(metric: object) -> None:
    best = metric.goodness(metric.best)
    assert best >= metric.goodness(metric.best - 0.3) or metric.better == "lower"
    assert best >= metric.goodness(metric.best + 0.3) or metric.better in ("higher", "neither")
    assert metric.what


def test_near_counts_both_sides() -> None:
    auc = METRICS["classifier_auc"]
    assert auc.goodness(0.4) == pytest.approx(auc.goodness(0.6))
    assert auc.goodness(0.5) > auc.goodness(0.6)
    assert auc.higher_is_better is None


def test_a_probability_is_shown_but_never_compared() -> None:
    assert not METRICS["mmd_p"].compared
