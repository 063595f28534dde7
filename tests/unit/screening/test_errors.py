import sys

import pytest

from screening import errors


def test_every_error_has_the_one_root_and_stands_in_the_tree() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(found) > 5
    for error in found:
        assert issubclass(error, errors.ScreeningError)
        assert error.__name__ in (errors.__doc__ or "")
        assert error.__doc__


def test_only_non_finite_numbers_and_broken_gpus_poison_a_replica() -> None:
    assert errors.NonFiniteResult.poisons_replica
    assert errors.DeviceFailure.poisons_replica
    assert not hasattr(errors.BlockError, "poisons_replica")


def test_errors_of_the_s3_client_are_known() -> None:
    botocore = pytest.importorskip("botocore.exceptions", reason="s3fs brings botocore")
    assert errors.is_storage_error(botocore.NoCredentialsError())
    assert not errors.is_storage_error(KeyError("x"))


def test_where_the_s3_client_is_not_loaded_nothing_is_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "botocore.exceptions", raising=False)
    assert not errors.is_storage_error(OSError("x"))
    assert "botocore.exceptions" not in sys.modules
