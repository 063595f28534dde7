import dataclasses

import pytest

from actors.errors import UnsafeTaskId
from actors.tasks import Task


@pytest.mark.parametrize("task_id", ["", "abc", "ABCDEF0123", "../../etc/passwd", "g" * 64, "ab12cd34\n", "a" * 129])
def test_ids_that_are_no_digest_are_refused(task_id: str) -> None:
    with pytest.raises(UnsafeTaskId, match="hex digest"):
        Task(task_id, b"")


def test_tasks_do_not_change() -> None:
    task = Task("ab12cd34", b"payload")
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.payload = b"other"  # type: ignore[misc]
