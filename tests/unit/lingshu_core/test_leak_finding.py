from lingshu_core.leak_finding import Finding


def test_things_are_counted_and_a_few_are_shown() -> None:
    finding = Finding.of(
        "copies", "fold 'B'", [f"cell{i}" for i in range(1200)], "{count} cells are there", "drop them"
    )
    assert (finding.count, finding.severity) == (1200, "leak")
    assert finding.examples == ("cell0", "cell1", "cell2", "cell3", "cell4")
    assert str(finding) == "fold 'B': 1,200 cells are there (cell0, cell1, cell2, cell3, cell4, …); drop them"


def test_without_examples_there_is_no_bracket() -> None:
    assert str(Finding("unknown", "note", "model", 0, (), "nothing is known", "say more")) == (
        "model: nothing is known; say more"
    )
