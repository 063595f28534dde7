import numpy as np
import pytest
from scipy import stats

from campaigns.conditions import Perturbation
from screening.following_up.own_targets import OwnTargets, check_own_targets, expected_way, monte_carlo_interval


def layers(effect: float, error: float = 0.01) -> dict[str, np.ndarray]:
    values = {"effect": [effect, 9.0], "effect_se": [error, 9.0], "control_mean": [1.5, 9.0]}
    return {name: np.array(each, dtype=np.float32) for name, each in values.items()}


@pytest.mark.parametrize(
    ("label", "kind", "methods", "way"),
    [
        ("A", "genetic", {}, -1),
        ("A", "genetic", {"A": "CRISPRi"}, -1),
        ("A", "genetic", {"A": "CRISPRa"}, 1),
        ("A (CRISPRa)", "genetic", {}, 1),
        ("A (CRISPRa)+B (CRISPRi)", "genetic", {}, None),
        ("A", "drug", {}, None),
    ],
)
def test_the_method_says_which_way(label: str, kind: str, methods: dict[str, str], way: int | None) -> None:
    assert expected_way(Perturbation.parse(label, kind), methods) == way


@pytest.mark.parametrize(
    ("effect", "method", "verdict"),
    [
        (-0.5, "knockout", "as expected"),
        (0.5, "knockout", "against expectation"),
        (0.5, "CRISPRa", "as expected"),
        (-0.5, "CRISPRa", "against expectation"),
        (0.001, "knockout", "unclear"),
    ],
)
def test_the_verdict_goes_by_method_and_interval(effect: float, method: str, verdict: str) -> None:
    found = check_own_targets(Perturbation.parse("A", "genetic"), np.array([0]), layers(effect), 8, {"A": method})
    assert found.verdict == verdict
    assert found.low is not None
    assert found.low < effect < found.high  # type: ignore[operator]
    assert found.control == pytest.approx(1.5)


def test_what_can_not_be_checked_is_told_apart() -> None:
    genes, none = np.array([0]), np.empty(0, dtype=np.int64)
    assert check_own_targets(Perturbation.parse("A", "drug"), none, layers(1.0), 8, {}) == OwnTargets("")
    assert check_own_targets(Perturbation.parse("A", "genetic"), none, layers(1.0), 8, {}).verdict == "not in the panel"
    assert check_own_targets(Perturbation.parse("A", "genetic"), genes, {}, 8, {}) == OwnTargets("unclear")


def test_the_interval_is_students() -> None:
    low, high = monte_carlo_interval(np.array([1.0]), np.array([0.1]), 8)
    assert (high - low) / 2 == pytest.approx([0.1 * stats.t.ppf(0.95, 7)])
