from actors.progress import Progress, Summary


def test_a_run_is_complete_when_nothing_failed() -> None:
    whole = Summary(1, 0, {}, 0, 0, 1.0)
    partial = Summary(1, 0, {"cd34ab12": "it broke"}, 0, 0, 1.0)
    assert whole.complete
    assert not partial.complete


def test_a_cancelled_run_is_not_complete() -> None:
    assert not Summary(1, 0, {}, 0, 0, 1.0, "cancelled by her").complete


def test_the_time_left_is_shared_by_the_replicas() -> None:
    assert Progress(2, 1, 13, 5, 0, 1.0, 3.0).seconds_left == 6.0
    assert Progress(0, 0, 13, 0, 0, 1.0, 3.0).seconds_left == 39.0
