import pytest

from actors.progress import Progress
from screening.watching.progress_text import duration, leading_lines, progress_line, setback_line
from screening.watching.run_news import Leader, Leading, RunNews

NEWS = RunNews("tiny", cells_per_block=64.0, passes_per_cell=6)


def test_speed_is_that_of_all_replicas() -> None:
    line = progress_line(Progress(10, 1, 1000, 4, 8, 60.0, 0.5), NEWS)
    assert line == (
        "10/1,000 blocks  replicas: 4  leases in flight: 8  1 failed  512 cells/s  3,072 passes/s  2 min left"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert progress_line(Progress(0, 0, 9, 1, 2, 1.0, 0.0), NEWS) == "0/9 blocks  replicas: 1  leases in flight: 2"
    told = progress_line(Progress(1, 0, 9, 1, 2, 1.0, 1.0), None, "units")
    assert told == "1/9 units  replicas: 1  leases in flight: 2  8 s left"
    baseline = RunNews("tiny", cells_per_block=0.5)
    assert "0.5 cells/s" in progress_line(Progress(1, 0, 9, 1, 2, 1.0, 1.0), baseline)
    assert "passes" not in progress_line(Progress(1, 0, 9, 1, 2, 1.0, 1.0), baseline)


def test_the_last_failure_is_one_line() -> None:
    assert setback_line(Progress(1, 0, 9, 1, 2, 1.0, 1.0)) == ""
    line = setback_line(Progress(1, 1, 9, 1, 2, 1.0, 1.0, 3, "x" * 400))
    assert line.startswith("3 attempts failed or were lost, the last one: xxx")
    assert line.endswith("…")
    assert len(line) < 220


def test_leaders_are_called_preliminary() -> None:
    leaders = (Leader("A", "cell_type=T, donor=D1", 0.5, 0.01), Leader("B", "cell_type=T", -0.25, 0.0))
    (line,) = leading_lines(Leading(leaders, 20, 1000, "share of cells"))
    assert line == (
        "preliminary, 20 of 1,000 conditions scored (share of cells): 1. A in T, D1 +0.500 ± 0.010; 2. B in T -0.250"
        " ± 0.000"
    )
    assert leading_lines(Leading(why_not="not in a rehearsal")) == ["preliminary ranking: not in a rehearsal"]
    assert leading_lines(Leading((), 0, 9, "u")) == ["preliminary, 0 of 9 conditions scored (u)"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (119, "119 s"), (600, "10 min"), (3570, "1 h 0 min"), (12_000, "3 h 20 min"), (188_000, "2 d 4 h")],
)
def test_times_are_written_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
