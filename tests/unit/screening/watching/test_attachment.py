from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from actors.cluster import RaySession
from actors.errors import ClusterUnavailable, JobLost, JobSilent
from actors.job import Ending, Look
from actors.progress import Progress
from campaigns.screen_spec import ComputeSpec
from screening.errors import LeftRunning, NotDetachable, PlaceTaken
from screening.watching import attachment
from screening.watching.attachment import (
    _check_same,
    _ended,
    _Links,
    _watched,
    cluster_address,
    describe_detached,
    run_or_attach,
    target_of,
    words_of,
)
from screening.watching.run_news import RunNews

WriteScreen = Callable[..., Path]
ABOUT = {
    "name": "tiny",
    "run_id": "ab" * 32,
    "place": "file:///results",
    "file": "screen.yaml",
    "since": "2026-11-21T10:00:00+00:00",
    "user": "her",
    "process": 7,
    "host": "head",
    "outlives": True,
}


class ScriptedJob:
    """Shows one look after the other, or raises."""

    def __init__(self, *looks: Look | BaseException) -> None:
        self.looks, self.killed = list(looks), False

    def look(self) -> Look:
        look = self.looks.pop(0)
        if isinstance(look, BaseException):
            raise look
        return look

    def kill(self) -> None:
        self.killed = True


def at(done: int) -> Progress:
    return Progress(done, 0, 10, 1, 2, 1.0, 0.1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "LOOK_SECONDS", 0.0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def watch(job: ScriptedJob, listener: Any, ours: bool = False, known: tuple[str, ...] = ()) -> Look:
    return _watched(job, listener, "screen.yaml", ours, _ended, known)  # type: ignore[arg-type]


def test_news_of_a_planner_get_the_links_of_this_command(listener: Any) -> None:
    heard: list[RunNews] = []
    listener.news = heard.append
    links = _Links(listener, RunNews("tiny", "ab", "/results"))
    links.dashboard(RaySession("127.0.0.2:1", "http://127.0.0.1:8265", started_here=False), lambda text: None)
    news = RunNews("tiny", "ab", "file:///results", conditions=9)
    looks = [Look(ABOUT, (), at(done), news=news.as_data()) for done in (1, 2)]
    watch(ScriptedJob(*looks, Look(ABOUT, (), at(3), "", Ending(0))), links)
    assert [(each.conditions, each.output, each.dashboard) for each in heard] == [
        (0, "/results", "http://127.0.0.1:8265"),
        (9, "/results", "http://127.0.0.1:8265"),
    ]
    assert listener.done == [1, 2, 3]


def test_each_stage_and_each_change_is_told_once(listener: Any) -> None:
    first, second = (("load", ""),), (("load", ""), ("plan", ""), ("open", ""))
    end = Ending(0)
    job = ScriptedJob(
        Look(ABOUT, first),
        Look(ABOUT, second, at(1)),
        JobSilent("busy"),
        Look(ABOUT, second, at(1)),
        Look(ABOUT, second, at(3), "", end),
    )
    assert watch(job, listener, known=("load",)).ending == end
    assert (listener.stages, listener.done) == (["plan", "open"], [1, 3])


def test_an_interrupt_leaves_a_run_that_is_not_ours(listener: Any) -> None:
    job = ScriptedJob(Look(ABOUT), KeyboardInterrupt(), Look(ABOUT))
    with pytest.raises(LeftRunning, match=r"the run goes on without this command \(planner: process 7 on head\)"):
        watch(job, listener)
    assert not job.killed


def test_an_interrupt_ends_a_run_that_is_ours(listener: Any) -> None:
    job = ScriptedJob(Look(ABOUT), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        watch(job, listener, ours=True)
    assert job.killed


def test_a_planner_that_dies_is_told_with_the_cure(listener: Any) -> None:
    with pytest.raises(JobLost, match="what was committed stays, run the campaign again"):
        watch(ScriptedJob(Look(ABOUT), JobLost("gone")), listener)


def test_a_planner_that_stays_silent_is_given_up(listener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "SILENT_SECONDS", 0.0)
    with pytest.raises(JobSilent):
        watch(ScriptedJob(JobSilent("busy"), JobSilent("busy")), listener)


def test_another_campaign_in_the_same_place_is_named() -> None:
    _check_same(Look(ABOUT), dict(ABOUT))
    with pytest.raises(
        PlaceTaken, match=r"'tiny' of screen.yaml \(run abababababababab\).*lingshu cancel file:///results"
    ):
        _check_same(Look(ABOUT), ABOUT | {"run_id": "cd" * 32})


def test_a_run_that_ends_with_its_command_is_said_to() -> None:
    assert "for as long as" in describe_detached(Look(ABOUT | {"outlives": False}), "screen.yaml")
    assert "for as long as" not in describe_detached(Look(ABOUT), "screen.yaml")


def test_a_cluster_is_joined_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_address(ComputeSpec()) is None
    assert cluster_address(ComputeSpec(address="10.0.0.5:6379")) == "10.0.0.5:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.6:6379")
    assert cluster_address(ComputeSpec()) == "10.0.0.6:6379"
    assert cluster_address(ComputeSpec(address="10.0.0.5:6379")) == "10.0.0.5:6379"
    assert cluster_address(ComputeSpec(backend="in_process")) is None
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert cluster_address(ComputeSpec()) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"compute": {"backend": "in_process"}}, "--backend ray"),
        ({"compute": {"backend": "ray"}}, r"ray get-auth-token --generate.*ray start --head.*RAY_ADDRESS="),
        ({"output": "memory://x", "compute": {"backend": "ray", "address": "10.0.0.5:6379"}}, "memory://"),
    ],
)
def test_a_run_that_could_not_outlive_its_command_is_refused(
    write_screen: WriteScreen, listener: Any, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(NotDetachable, match=told):
        run_or_attach(write_screen(**changes), listener, detach=True)


def test_a_run_is_named_by_its_campaign_or_by_its_place(
    write_screen: WriteScreen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.6:6379")
    path = write_screen(compute={"backend": "ray"})
    by_file, by_place = target_of(str(path)), target_of(str(tmp_path / "screen"))
    assert by_file.place == by_place.place == (tmp_path / "screen").as_uri()
    assert by_file.address == by_place.address == "10.0.0.6:6379"
    assert (len(by_file.asked), by_place.asked) == (64, "")
    assert target_of(str(path), str(tmp_path / "other")).place == (tmp_path / "other").as_uri()


@pytest.mark.parametrize("argument", ["results", "s3://bucket/results"])
def test_without_a_cluster_there_is_nothing_to_attach_to(argument: str) -> None:
    with pytest.raises(ClusterUnavailable, match=r"neither compute\.address nor RAY_ADDRESS"):
        target_of(argument)


def test_the_words_for_the_next_command_can_be_pasted() -> None:
    assert words_of("a b.yaml", {"output": "s3://bucket/x", "replicas": 3}) == "'a b.yaml' --output s3://bucket/x"


def test_a_run_plans_until_it_opens_its_store() -> None:
    stages = [("load", "screen.yaml"), ("plan", "model"), ("open", "results")]
    looks = [Look(ABOUT, tuple(stages[:number])) for number in range(4)]
    assert [attachment.is_planning(look) for look in looks] == [True, True, True, False]


def test_a_run_on_the_same_cluster_is_not_stopped_by_taking_over(
    write_screen: WriteScreen, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_screen(compute={"backend": "ray", "address": "10.0.0.5:6379"})

    def running(name: str, spec: Any, about: dict[str, Any], *, outlives: bool) -> tuple[Any, Look, bool]:
        assert spec.options["take_over"] is True
        return ScriptedJob(), Look(ABOUT | {"run_id": about["run_id"]}), False

    monkeypatch.setattr(
        attachment, "ray_session", lambda address, **options: nullcontext(RaySession(address, None, False))
    )
    monkeypatch.setattr(attachment, "start_job", running)
    with pytest.raises(PlaceTaken, match="end this one with `lingshu cancel "):
        run_or_attach(path, listener, take_over=True)
