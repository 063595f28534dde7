from actors.run_label import RunLabel

LABEL = RunLabel("papalexi", "1a2b3c4d" * 8)


def test_things_of_a_run_are_called_after_it() -> None:
    assert LABEL.of("replica-3") == "replica-3 of papalexi-1a2b3c4d"
    assert LABEL.call("lease") == "papalexi-1a2b3c4d predict: lease"
    assert LABEL.metadata() == {"campaign": "papalexi", "run_id": "1a2b3c4d" * 8}


def test_without_a_run_things_keep_their_names() -> None:
    assert RunLabel().of("replica-3") == "replica-3"
    assert RunLabel(stage="compute").call("lease") == "compute: lease"
    assert RunLabel("papalexi").metadata() == {"campaign": "papalexi"}
