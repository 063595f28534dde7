import pytest

from actors.errors import UnknownWorker
from actors.rehearsal import EnvironmentWorker, RehearsalWorker
from actors.worker import WorkerSpec


def test_a_target_opens_with_its_options() -> None:
    worker = WorkerSpec("actors.rehearsal:RehearsalWorker", {"scratch": "/tmp"}).open()
    assert isinstance(worker, RehearsalWorker)
    assert isinstance(WorkerSpec("actors.rehearsal:EnvironmentWorker").open(), EnvironmentWorker)


@pytest.mark.parametrize("target", ["", "actors.rehearsal", ":name", "module:"])
def test_a_target_has_a_module_and_a_name(target: str) -> None:
    with pytest.raises(UnknownWorker, match=r"package\.module:callable"):
        WorkerSpec(target)


@pytest.mark.parametrize("target", ["no_such_package.module:Worker", "actors.rehearsal:NoSuchWorker"])
def test_a_target_that_is_not_there_is_named(target: str) -> None:
    with pytest.raises(UnknownWorker, match=target):
        WorkerSpec(target).open()


def test_options_are_plain() -> None:
    with pytest.raises(UnknownWorker, match="plain JSON"):
        WorkerSpec("actors.rehearsal:RehearsalWorker", {"scratch": object()})


def test_what_opens_has_to_run() -> None:
    with pytest.raises(UnknownWorker, match="dict, which has no run"):
        WorkerSpec("builtins:dict").open()


def test_errors_of_the_worker_itself_are_its_own() -> None:
    with pytest.raises(TypeError, match="surprise"):
        WorkerSpec("actors.rehearsal:RehearsalWorker", {"surprise": 1}).open()
