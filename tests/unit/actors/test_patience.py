import pytest

from actors.errors import BlobNotFound, CorruptBlob, StoreRefused, StoreUnavailable
from actors.meter import Recorder
from actors.patience import LONGEST_PAUSE, Patience, until_readable


class Failing:
    """Raises each of some errors in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_silence_is_waited_out_with_growing_pauses() -> None:
    pauses: list[float] = []
    step = Failing(*[StoreUnavailable("no answer")] * 9)
    assert Patience(60, pauses.append).wait_for(step) == "answer"
    assert len(pauses) == 9
    assert 0.1 < pauses[0] <= 0.25
    assert pauses[0] < pauses[3] < pauses[5]
    assert max(pauses) <= LONGEST_PAUSE


def test_two_that_fail_at_once_come_back_at_different_times() -> None:
    first, second = [], []
    Patience(60, first.append).wait_for(Failing(StoreUnavailable("")))
    Patience(60, second.append).wait_for(Failing(StoreUnavailable("")))
    assert first != second


@pytest.mark.parametrize("error", [StoreRefused("403"), BlobNotFound("key"), CorruptBlob("key")])
def test_an_answer_is_no_silence(error: Exception) -> None:
    with pytest.raises(type(error)):
        Patience(60, _no_waiting).wait_for(Failing(error))


def test_when_the_time_is_up_the_last_failure_stands() -> None:
    with pytest.raises(StoreUnavailable, match="first"):
        Patience(0, _no_waiting).wait_for(Failing(StoreUnavailable("first"), StoreUnavailable("second")))


def test_what_seems_damaged_is_read_again_before_it_is_believed() -> None:
    assert until_readable(Failing(CorruptBlob("cut"), CorruptBlob("cut"))) == "answer"
    with pytest.raises(CorruptBlob, match="third"):
        until_readable(Failing(CorruptBlob("cut"), CorruptBlob("cut"), CorruptBlob("third")))


def _no_waiting(seconds: float) -> None:
    raise AssertionError("waited")


def test_steps_that_are_tried_again_are_counted() -> None:
    recorder, answers = Recorder(), iter([StoreUnavailable("503"), StoreUnavailable("503")])

    def step() -> str:
        for answer in answers:
            raise answer
        return "there"

    assert Patience(60.0, lambda seconds: None, recorder).wait_for(step) == "there"
    assert recorder.drain().counts == {("lingshu_store_retries_total", ()): 2.0}
