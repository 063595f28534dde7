from actors.progress import Progress
from screening.notebook.progress_lines import ProgressLines


def progress(done: int, failed: int = 0) -> Progress:
    return Progress(done, failed, 10, 2, 1, 1.0, 0.1)


def test_stages_and_progress_are_lines() -> None:
    said: list[str] = []
    lines = ProgressLines(said.append, seconds=0)
    lines.stage("plan", "a model")
    lines.stage("aggregate", "")
    lines.progress(progress(3, failed=1))
    assert said == ["plan: a model", "aggregate", "  3/10 blocks  replicas: 2  leases in flight: 1  1 failed  0 s left"]


def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    said: list[str] = []
    lines = ProgressLines(said.append, seconds=3600)
    for done in (1, 2, 3, 10):
        lines.progress(progress(done))
    assert [line.split()[0] for line in said] == ["1/10", "10/10"]
