import pytest

from campaigns.errors import SpecError
from campaigns.publish_spec import PublishSpec
from campaigns.screen_spec import ScreenSpec
from campaigns.source import Source
from campaigns.validation import validate

SCREEN = {
    "kind": "screen",
    "name": "s",
    "model": "model",
    "contexts": "all_seen",
    "perturbations": {"genetic": "all_seen"},
    "objective": {"kind": "markers", "genes": {"A": "up"}},
    "output": "results",
    "cache": "blocks",
}


def test_nothing_is_published_elsewhere_by_default() -> None:
    assert validate(ScreenSpec, Source("s.yaml", dict(SCREEN))).publish == PublishSpec(delta=None)


@pytest.mark.parametrize("place", ["results", "results/", "model", "blocks"])
def test_a_table_has_a_folder_of_its_own(place: str) -> None:
    with pytest.raises(SpecError, match=r"publish\.delta: .*give the table one of its own"):
        validate(ScreenSpec, Source("s.yaml", SCREEN | {"publish": {"delta": place}}))


def test_credentials_have_no_place_in_it() -> None:
    with pytest.raises(SpecError) as told:
        validate(ScreenSpec, Source("s.yaml", SCREEN | {"publish": {"delta": "s3://key:planted-secret@bucket/t"}}))
    assert "planted-secret" not in str(told.value)
