import contextlib
import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from actors.beat import BEATS, Beat, beat_key, read_beat
from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.errors import Fenced, StoreError, StoreUnavailable
from actors.faulty_blobs import Fault, FaultyBlobs
from actors.history import History
from actors.job import Ending
from actors.process_mark import ProcessMark
from actors.progress import Progress
from actors.watch import Watch
from screening.errors import LeftRunning, PlaceTaken
from screening.planning.campaign import PlannedCampaign
from screening.run import STAGES
from screening.watching.following import Newcomer, Tenure, about_run
from screening.watching.run_news import Leader, Leading, RunNews

ELSEWHERE = ProcessMark("far away", 7, "another boot", 11)
FACTS: dict[str, Any] = {
    **{"run_id": "x", "output": "/there", "computed": 3, "reused": 2, "failed": 1},
    **{"gates": "", "cache": None, "cancelled": "", "files": ["hits.parquet"]},
}


class Hearing:
    """Hears all that is told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stage(self, name: str, detail: str) -> None:
        self.told.append(f"{name}: {detail}")

    def progress(self, progress: Progress) -> None:
        self.told.append(f"{progress.done}/{progress.total}")


class Scene:
    """A place, a run elsewhere that does the next step of a script whenever the newcomer sleeps, and a clock."""

    def __init__(self, planned: PlannedCampaign) -> None:
        self.planned, self.now = planned, 0.0
        self.blobs: Blobs = open_blobs(f"memory://{uuid.uuid4().hex}")
        self.script: list[Callable[[], object]] = []
        self.heard = Hearing()

    def begin(self, **about: str) -> None:
        self.epoch = Epoch.begin(History(self.blobs), "the other run")
        told = about_run(self.planned) | {"user": "her", "since": "noon"} | about
        self.beat = Beat(self.epoch.owner, 0, ELSEWHERE, told)
        self.tell()

    def tell(self, **changes: Any) -> None:
        self.beat = dataclasses.replace(self.beat, count=self.beat.count + 1, **changes)
        self.blobs.put(beat_key(self.beat.owner), self.beat.to_json())

    def newcomer(self, **options: Any) -> Newcomer:
        watch = Watch(History(self.blobs, patience_seconds=0), 45, lambda: self.now)
        return Newcomer(self.planned, self.blobs, self.heard, STAGES, watch=watch, sleep=self.sleep, **options)

    def sleep(self, seconds: float) -> None:
        self.now += 10
        if self.script:
            self.script.pop(0)()

    def take(self, *, by_force: bool = False, **options: Any) -> Tenure | Ending:
        return self.newcomer(**options).take(History(self.blobs), "the newcomer", by_force=by_force)

    def held(self, **options: Any) -> Tenure:
        held = self.take(**options)
        assert isinstance(held, Tenure)
        return held

    def owners(self) -> set[str]:
        return {key.removeprefix(f"{BEATS}/").removesuffix(".json") for key, _ in self.blobs.list(BEATS)}

    def head(self) -> str:
        head = History(self.blobs).head()
        assert head is not None
        return head.owner


@pytest.fixture
def scene(planned: PlannedCampaign) -> Scene:
    return Scene(planned)


def test_a_place_where_nobody_is_is_taken_at_once(scene: Scene) -> None:
    with scene.held() as held:
        assert (held.epoch.number, scene.head(), scene.now) == (1, held.epoch.owner, 0)
        assert scene.owners() == {held.epoch.owner}
        held.published(FACTS, "")
    assert scene.heard.told == []
    with scene.held() as again:  # what has ended is no obstacle, and leaves nothing
        assert (again.epoch.number, scene.owners()) == (2, {again.epoch.owner})


def test_a_run_is_followed_to_its_end(scene: Scene) -> None:
    scene.begin()
    at = [Progress(done, 0, 10, 1, 2, 3.0, 0.1) for done in (2, 5)]
    scene.script = [
        lambda: scene.tell(stage="open", detail="there"),
        lambda: scene.tell(stage="predict", detail="10 blocks", progress=at[0]),
        lambda: scene.tell(progress=at[0]),
        lambda: scene.tell(progress=at[1]),
        lambda: scene.tell(stage="publish", detail="there"),
        lambda: scene.tell(ending=Ending(3, "some failed", FACTS)),
    ]
    ending = scene.take()
    assert ending == Ending(3, "some failed", {**FACTS, "output": scene.planned.campaign.spec.output})
    first, second, *rest = scene.heard.told
    assert "a run is here already, since noon, started by her (process 7 on far away); looks whether it" in first
    assert "this campaign is running already, since noon, started by her (process 7 on far away)" in second
    assert rest == ["predict: 10 blocks", "2/10", "5/10", "publish: there"]
    assert scene.head() == scene.epoch.owner  # nobody has taken anything over


def test_a_last_stage_that_was_over_at_once_is_told(scene: Scene) -> None:
    scene.begin()
    scene.script = [
        lambda: scene.tell(stage="predict", detail="10 blocks"),
        lambda: scene.tell(detail="10 blocks still"),
        lambda: scene.tell(stage="publish", detail="there", ending=Ending(0, "", FACTS)),
    ]
    assert scene.take().code == 0
    assert scene.heard.told[-1] == "publish: there"


def test_the_news_of_the_other_are_told_with_the_place_as_it_is_called_here(scene: Scene) -> None:
    heard: list[RunNews] = []
    scene.heard.news = heard.append  # type: ignore[attr-defined]
    leading = Leading((Leader("REG04\x1b", "cell_type=type_1", 0.5, 0.1),), 1, 2, "u")
    news = dataclasses.replace(RunNews.of(scene.planned), dashboard="http://there", output="elsewhere")
    trouble = Progress(2, 0, 10, 1, 2, 3.0, 0.1, 1, "lost\nits node")
    scene.begin()
    scene.script = [
        lambda: scene.tell(stage="predict", news=news.as_data(), progress=trouble),
        lambda: scene.tell(news=news.as_data()),
        lambda: scene.tell(news=dataclasses.replace(news, leading=leading).as_data()),
        lambda: scene.tell(news={"of": "another version"}),
        lambda: scene.tell(ending=Ending(0, "", FACTS)),
    ]
    scene.take()
    assert [each.leading is None for each in heard] == [True, False]
    assert (heard[0].dashboard, heard[0].output) == ("http://there", scene.planned.campaign.spec.output)
    assert heard[1].leading is not None
    assert heard[1].leading.leaders[0].perturbation == "REG04\\x1b"


def test_a_run_tells_its_news_to_all(scene: Scene) -> None:
    heard: list[RunNews] = []
    scene.heard.news = heard.append  # type: ignore[attr-defined]
    news = RunNews.of(scene.planned)
    with scene.held() as held:
        held.news(news)
    beat = read_beat(scene.blobs, held.epoch.owner)
    assert beat is not None
    assert RunNews.from_data(beat.news) == news
    assert heard == [news]


def test_when_it_dies_the_follower_goes_on(scene: Scene) -> None:
    scene.begin()
    scene.script = [scene.tell, scene.tell]
    with scene.held() as held:
        assert (held.epoch.number, scene.owners()) == (2, {held.epoch.owner})
    assert "it has given no sign of life for 45 s; goes on from what is committed" in scene.heard.told[-1]
    with pytest.raises(Fenced, match="the newcomer"):
        scene.epoch.check()
    assert 60 <= scene.now <= 80


@pytest.mark.parametrize("ending", [Ending(2, "no GPU here"), Ending(130, "it was interrupted")])
def test_when_it_fails_the_follower_tries_itself(scene: Scene, ending: Ending) -> None:
    scene.begin()
    scene.script = [scene.tell, lambda: scene.tell(ending=ending)]
    with scene.held():
        assert f"the other run: it has ended: {ending.line}; goes on from what" in scene.heard.told[-1]


@pytest.mark.parametrize("facts", [{"files": []}, {**FACTS, "computed": "3"}, {**FACTS, "more": 1}])
def test_an_end_that_makes_no_sense_is_none(scene: Scene, facts: dict[str, Any]) -> None:
    scene.begin()
    scene.script = [scene.tell, lambda: scene.tell(ending=Ending(0, "", facts))]
    assert isinstance(scene.take(), Tenure)


def test_another_table_of_the_same_blocks_is_made_when_the_first_is_done(scene: Scene) -> None:
    scene.begin(asked="another threshold")
    scene.script = [scene.tell, lambda: scene.tell(ending=Ending(0, "", FACTS))]
    assert isinstance(scene.take(), Tenure)


def test_another_campaign_is_not_stopped(scene: Scene) -> None:
    scene.begin(run_id="cd" * 32, name="other", file="other.yaml")
    scene.script = [scene.tell]
    with pytest.raises(PlaceTaken, match=r"another campaign, 'other' of other.yaml \(run cdcdcdcdcdcdcdcd\).*--output"):
        scene.take()
    scene.epoch.check()
    assert isinstance(scene.take(by_force=True), Tenure)


def test_another_campaign_that_is_dead_is_no_obstacle(scene: Scene) -> None:
    scene.begin(run_id="cd" * 32)
    assert isinstance(scene.take(), Tenure)


def test_a_rehearsal_follows_nobody(scene: Scene) -> None:
    scene.begin()
    scene.script = [scene.tell]
    with pytest.raises(PlaceTaken, match="a rehearsal that follows strikes nothing"):
        scene.take(is_rehearsal=True)


def test_by_force_nobody_is_waited_for(scene: Scene) -> None:
    scene.begin()
    with scene.held(by_force=True) as held:
        assert (held.epoch.number, scene.now, scene.heard.told) == (2, 0, [])
    with pytest.raises(Fenced):
        scene.epoch.check()


def test_of_two_that_begin_at_once_one_follows_the_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other takes the place between our look and our move."""
    succeed = Epoch.succeed

    def late(*arguments: Any) -> Epoch | None:
        monkeypatch.setattr(Epoch, "succeed", succeed)
        scene.begin()
        return succeed(*arguments)

    monkeypatch.setattr(Epoch, "succeed", late)
    scene.script = [scene.tell, lambda: scene.tell(ending=Ending(0, "", FACTS))]
    assert isinstance(scene.take(), Ending)
    assert scene.owners() == {scene.epoch.owner}


def test_a_third_that_takes_over_is_followed_too(scene: Scene) -> None:
    scene.begin()
    scene.script = [scene.tell, scene.begin, scene.tell, lambda: scene.tell(ending=Ending(0, "", FACTS))]
    assert isinstance(scene.take(), Ending)
    assert sum("follows it" in told for told in scene.heard.told) == 2


def test_an_interrupt_leaves_the_other_running(scene: Scene) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    scene.begin()
    scene.script = [scene.tell, interrupt]
    with pytest.raises(LeftRunning, match=r"goes on without this command \(process 7 on far away\)"):
        scene.take()
    scene.begin()
    scene.script = [interrupt]  # nobody knows yet whether it lives
    with pytest.raises(KeyboardInterrupt):
        scene.take()


def test_what_comes_from_the_store_does_not_steer_a_terminal(scene: Scene) -> None:
    scene.begin(user="\x1b[2J", since="\r")
    scene.script = [
        lambda: scene.tell(stage="predict", detail="\x1b[31m"),
        lambda: scene.tell(stage="no such stage", detail="x"),
        lambda: scene.tell(ending=Ending(2, "\x1b[0m")),
    ]
    assert isinstance(scene.take(), Tenure)
    assert all(told.isprintable() for told in scene.heard.told)
    assert not any("no such stage" in told for told in scene.heard.told)


def test_a_damaged_beat_is_none_and_is_told(scene: Scene) -> None:
    scene.begin()
    scene.blobs.put(beat_key(scene.epoch.owner), b" " * (1 << 17))
    assert isinstance(scene.take(), Tenure)
    assert "it is taken for none" in scene.heard.told[-1]


def test_a_run_leaves_how_it_ended(scene: Scene) -> None:
    def left(error: BaseException | None) -> Ending | None:
        held = scene.held()
        with contextlib.suppress(StoreError, KeyboardInterrupt), held:
            if error is not None:
                raise error
            held.published(FACTS, "some failed")
        beat = read_beat(scene.blobs, held.epoch.owner)
        return None if beat is None else beat.ending

    assert left(None) == Ending(3, "some failed", FACTS)
    assert left(KeyboardInterrupt()) == Ending(130, "it was interrupted")
    assert left(StoreUnavailable("the bucket is silent")) == Ending(2, "the bucket is silent")
    assert left(Fenced("another run")) is None


def test_nothing_is_left_of_a_beginning_that_failed(scene: Scene) -> None:
    def next_fault(operation: str, key: str) -> Fault | None:
        return "403" if operation == "swap" else None

    with pytest.raises(StoreUnavailable):
        scene.newcomer().take(History(FaultyBlobs(scene.blobs, next_fault)), "the newcomer")
    assert scene.owners() == set()
