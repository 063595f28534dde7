import pytest
from pydantic import ValidationError

from campaigns.across_spec import AcrossSpec


def test_defaults() -> None:
    spec = AcrossSpec()
    assert (spec.factor, spec.modes, spec.donor, spec.weak) == (None, ("pan", "selective"), "donor", 1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"modes": []}, {"modes": ["pan", "pan"]}, {"modes": ["all"]}, {"weak": 1.1}, {"weak": 0}, {"factors": ["donor"]}],
)
def test_what_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AcrossSpec.model_validate(wrong)
