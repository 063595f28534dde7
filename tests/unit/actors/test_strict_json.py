import pytest

from actors.errors import CorruptBlob
from actors.strict_json import check_object, read_object

FIELDS = {"name": str, "size": int, "seconds": float, "before": (dict, type(None))}


def test_a_record_is_read() -> None:
    text = b'{"name": "a", "size": 1, "seconds": 2, "before": null}'
    assert read_object(text, FIELDS, "key") == {"name": "a", "size": 1, "seconds": 2, "before": None}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[1]", "and has list"),
        (b"{}", "and has none"),
        (b'{"name": "a"}', "has to have the fields before, name, seconds, size"),
        (b'{"name": "a", "size": 1, "seconds": 2, "before": null, "more": 1}', "and has before, more, name"),
        (b'{"name": 1, "size": 1, "seconds": 2, "before": null}', "name is 1, which is of the wrong type"),
        (b'{"name": "a", "size": true, "seconds": 2, "before": null}', "size is True"),
        (b'{"name": "a", "size": 1.5, "seconds": 2, "before": null}', "size is 1.5"),
        (b'{"name": "a", "size": 1, "seconds": 2, "before": []}', "before is []"),
    ],
)
def test_anything_else_is_named(text: bytes, problem: str) -> None:
    with pytest.raises(CorruptBlob) as refusal:
        read_object(text, FIELDS, "some/key")
    assert str(refusal.value).startswith("some/key")
    assert problem in str(refusal.value)


def test_a_part_is_checked_alike() -> None:
    assert check_object({"size": 1}, {"size": int}, "key") == {"size": 1}
    with pytest.raises(CorruptBlob):
        check_object(None, {"size": int}, "key")
