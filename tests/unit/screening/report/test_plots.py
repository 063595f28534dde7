import base64
from collections.abc import Callable

from screening.report.plots import plots
from screening.report.source import ReportSource


def test_what_can_be_drawn_is_and_the_rest_says_why(source: Callable[..., ReportSource]) -> None:
    found = {plot.title: plot for plot in plots(source())}
    drawn = {title for title, plot in found.items() if plot.encoded}
    assert drawn == {"Ranks", "Volcano", "Perturbation by context"}
    for title in drawn:
        svg = base64.b64decode(found[title].encoded)
        assert b"<svg" in svg
        assert b"<script>" not in svg
    assert "no perturbation of this screen has a dose" in found["Doses"].caption
    assert "no null" in found["Whether p-values hold"].caption
