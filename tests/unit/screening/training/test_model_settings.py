import pytest

from lingshu_core.denoiser import CONFIGURATIONS, configuration
from lingshu_core.errors import ConfigurationError
from screening.training.model_settings import check_overrides


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("direct", "pooled_width", 0),
        ("direct", "condition_rank", 8),
        ("direct", "tilt", False),
        ("direct", "dropout", 0),
        ("direct", "dropout", 0.5),
        ("tiny", "heads", 4),
        ("direct", "unknown", -3),
    ],
)
def test_what_a_model_can_be_built_of_passes(name: str, setting: str, value: float) -> None:
    check_overrides(name, {setting: value})


@pytest.mark.parametrize(
    ("name", "setting", "value", "message"),
    [
        ("direct", "pooled_width", -1, "model.overrides.pooled_width: must be a whole number of at least 0, not -1"),
        ("direct", "condition_rank", 0, "model.overrides.condition_rank: must be a whole number of at least 1, not 0"),
        ("direct", "depth_knots", 2.5, "must be a whole number of at least 1, not 2.5"),
        ("direct", "depth_knots", True, "must be a whole number of at least 1, not true"),
        ("direct", "tilt", 1, "model.overrides.tilt: must be true or false, not 1"),
        ("direct", "dropout", 1.0, "must be a number of at least 0 and less than 1, not 1.0"),
        ("tiny", "heads", 0, "model.overrides.heads: must be a whole number of at least 1, not 0"),
    ],
)
def test_what_none_can_be_built_of_is_refused(name: str, setting: str, value: float, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_overrides(name, {setting: value})


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_default_passes(name: str) -> None:
    config = configuration(name)
    own = {key: value for key, value in config.to_json().items() if key != "backbone"}
    check_overrides(name, own | (config.to_json()["backbone"] or {}))
