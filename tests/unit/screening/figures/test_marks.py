from screening.deciding.decisions import FAILED, HIT, NOT, REFUSED, UNDECIDED
from screening.figures.marks import MARKS, PALETTE, UNKNOWN, handles


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_decision_with_a_score_has_a_shape_and_a_colour_of_its_own() -> None:
    assert set(MARKS) == {HIT, NOT, UNDECIDED, REFUSED, UNKNOWN}
    assert FAILED not in MARKS
    assert len({mark.shape for mark in MARKS.values()}) == len(MARKS)
    assert len({mark.colour for mark in MARKS.values()}) == len(MARKS)


def test_marks_stand_out_of_white() -> None:
    assert all(1.05 / (luminance(mark.colour) + 0.05) >= 3 for mark in MARKS.values())  # WCAG 1.4.11
    assert len(set(PALETTE)) == len(PALETTE)


def test_a_legend_has_what_occurs_in_one_order() -> None:
    assert [handle.get_label() for handle in handles([NOT, HIT, NOT])] == ["hit", "not (too small to matter)"]
