import pytest

from screening.errors import ResultsError
from screening.notebook.shown_errors import shown


@shown
def fail(error: Exception) -> None:
    raise error


def test_an_error_on_purpose_is_one_line_in_a_notebook() -> None:
    with pytest.raises(ResultsError) as caught:
        fail(ResultsError("nothing is here; look there"))
    assert caught.value._render_traceback_() == ["ResultsError: nothing is here; look there"]  # type: ignore[attr-defined]


def test_a_bug_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        fail(ZeroDivisionError("division by zero"))
    assert not hasattr(caught.value, "_render_traceback_")


def test_who_debugs_sees_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGSHU_DEBUG", "1")
    with pytest.raises(ResultsError) as caught:
        fail(ResultsError("nothing is here"))
    assert not hasattr(caught.value, "_render_traceback_")


def test_what_is_shown_is_fit_to_be_shown() -> None:
    with pytest.raises(ResultsError) as caught:
        fail(ResultsError("s3://bucket \x1b[31m"))
    assert "\x1b" not in caught.value._render_traceback_()[0]  # type: ignore[attr-defined]
