import numpy as np
import pytest

from lingshu_core import error_scale
from lingshu_core.error_scale import ErrorScale, Residuals, scale_terms


def residuals(variance_of: dict[str, float], *, values: int = 20_000, known: float = 0.01, seed: int = 0) -> Residuals:
    """Residuals whose variance is a known sum of terms, and the noise."""
    rng = np.random.default_rng(seed)
    effect, expression, spread = rng.normal(size=values), rng.exponential(size=values), rng.exponential(size=values)
    terms, names = scale_terms(effect, expression, spread)
    variance = terms @ np.array([variance_of.get(name, 0.0) for name in names])
    noise = np.full(values, known)
    square = (variance + noise) * rng.normal(size=values) ** 2
    return Residuals(terms, names, square, noise, np.ones(values))


@pytest.mark.parametrize(
    "planted",
    [{"constant": 0.04}, {"constant": 0.01, "size²": 0.3}, {"constant": 0.01, "expression": 0.2, "spread²": 1.0}],
)
def test_planted_coefficients_are_found(planted: dict[str, float]) -> None:
    given = residuals(planted)
    found = ErrorScale.fit(given).variance(given.terms, given.names)
    true = given.terms @ np.array([planted.get(name, 0.0) for name in given.names])
    assert np.median(np.abs(found / true - 1)) < 0.15


def test_noise_that_is_known_is_not_the_models() -> None:
    quiet, loud = residuals({"constant": 0.04}, known=0.0), residuals({"constant": 0.04}, known=0.1)
    assert ErrorScale.fit(loud).coefficients["constant"] == pytest.approx(0.04, rel=0.2)
    assert ErrorScale.fit(quiet).coefficients["constant"] == pytest.approx(0.04, rel=0.2)


def test_an_error_that_the_noise_hides_is_not_called_none() -> None:
    given = residuals({}, known=0.1)
    assert ErrorScale.fit(given).coefficients["constant"] >= error_scale.LEAST_SHARE * 0.1


def test_a_few_that_are_far_off_do_not_set_the_scale() -> None:
    given = residuals({"constant": 0.04})
    spoiled = given.square.copy()
    spoiled[::200] = 1e4
    found = ErrorScale.fit(Residuals(given.terms, given.names, spoiled, given.known, given.weight))
    assert found.variance(given.terms, given.names).mean() < 0.1


def test_a_few_scores_have_one_scale_for_all() -> None:
    given = residuals({"constant": 0.04, "size²": 1.0}, values=60)
    assert set(ErrorScale.fit(given).coefficients) == {"constant"}


def test_very_many_residuals_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    given = residuals({"constant": 0.04, "size²": 0.2})
    whole = ErrorScale.fit(given)
    monkeypatch.setattr(error_scale, "_MOST_VALUES", 5_000)
    part = ErrorScale.fit(given)
    assert part != whole
    assert part.coefficients["size²"] == pytest.approx(whole.coefficients["size²"], rel=0.2)


def test_a_score_may_have_a_negative_expression_and_no_negative_variance() -> None:
    terms, names = scale_terms(np.zeros(2), np.array([-3.0, 3.0]), None)
    variance = ErrorScale({"constant": 0.1, "expression": 1.0}).variance(terms, names)
    assert variance.tolist() == [3.1, 3.1]


def test_terms_are_those_that_are_known() -> None:
    effect = np.array([-2.0, 1.0])
    assert scale_terms(effect, None, None)[1] == ("constant", "size", "size²")
    terms, names = scale_terms(effect, None, np.array([3.0, 0.0]))
    assert names[-1] == "spread²"
    assert terms.tolist() == [[1, 2, 4, 9], [1, 1, 1, 0]]
