from actors.progress import Summary


def test_a_run_is_complete_when_nothing_failed() -> None:
    whole = Summary(frozenset({"ab12cd34"}), frozenset(), {}, 0, 1.0)
    partial = Summary(frozenset({"ab12cd34"}), frozenset(), {"cd34ab12": "it broke"}, 0, 1.0)
    assert whole.complete
    assert not partial.complete
