from actors.progress import Summary


def test_a_run_is_complete_when_nothing_failed() -> None:
    whole = Summary(1, 0, {}, 0, 0, 1.0)
    partial = Summary(1, 0, {"cd34ab12": "it broke"}, 0, 0, 1.0)
    assert whole.complete
    assert not partial.complete
