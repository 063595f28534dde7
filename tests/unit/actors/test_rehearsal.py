from pathlib import Path

import pytest

from actors.rehearsal import RehearsalWorker, RehearsedFailure, rehearsed


def test_a_script_echoes() -> None:
    assert RehearsalWorker().run(rehearsed("hello").payload) == b"hello"


def test_a_fault_strikes_as_often_as_it_should(tmp_path: Path) -> None:
    task = rehearsed("moody", fault="raise", times=2)
    for _ in range(2):
        with pytest.raises(RehearsedFailure):
            RehearsalWorker(str(tmp_path)).run(task.payload)
    assert RehearsalWorker(str(tmp_path)).run(task.payload) == b"moody"


def test_poison_is_marked_as_such() -> None:
    with pytest.raises(RehearsedFailure) as failure:
        RehearsalWorker().run(rehearsed("bad", fault="poison").payload)
    assert getattr(failure.value, "poisons_replica", False)


def test_other_scripts_have_other_ids() -> None:
    assert len({rehearsed("a").id, rehearsed("b").id, rehearsed("a", seconds=1).id}) == 3
