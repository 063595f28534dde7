import dataclasses
import json
from typing import Any

import pytest

from screening.planning.campaign import PlannedCampaign
from screening.watching.run_listener import tell_news
from screening.watching.run_news import Leader, Leading, NewsDesk, RunNews

LEADING = Leading((Leader("STAT1", "cell_type=T", 0.5, 0.01),), 3, 9, "control standard deviations")
NEWS = RunNews("tiny", "ab", "/results", "http://127.0.0.1:8265", 9, 32.0, 6, 0, LEADING)


def test_news_go_through_json_unchanged() -> None:
    assert RunNews.from_data(json.loads(json.dumps(NEWS.as_data()))) == NEWS
    bare = RunNews("tiny")
    assert RunNews.from_data(bare.as_data()) == bare


@pytest.mark.parametrize(
    "data",
    [
        {},
        {**NEWS.as_data(), "more": 1},
        {**NEWS.as_data(), "conditions": "9"},
        {**NEWS.as_data(), "leading": {"leaders": []}},
        {**NEWS.as_data(), "leading": {**dataclasses.asdict(LEADING), "leaders": [{"score": "high"}]}},
    ],
)
def test_what_another_version_tells_is_no_news(data: dict[str, Any]) -> None:
    assert RunNews.from_data(data) is None


def test_what_comes_from_a_store_steers_no_terminal() -> None:
    leader = Leader("STAT1\x1b[2J", "T\n", 0.5, 0.01)
    news = dataclasses.replace(NEWS, dashboard="http://\x1b[31m", leading=Leading((leader,)))
    read = RunNews.from_data(news.as_data())
    assert read is not None
    assert read.dashboard.isprintable()
    assert read.leading is not None
    assert (read.leading.leaders[0].perturbation + read.leading.leaders[0].context).isprintable()


def test_a_plan_tells_what_blocks_are_worth(planned: PlannedCampaign) -> None:
    news = RunNews.of(planned)
    assert (news.name, news.run_id, news.conditions) == ("tiny", planned.plan.run_id, 2)
    assert news.cells_per_block * len(planned.plan.blocks) == planned.plan.n_cells
    assert news.passes_per_cell == 3


def test_only_what_is_new_is_told(planned: PlannedCampaign) -> None:
    told: list[RunNews] = []
    desk = NewsDesk(planned, told.append)
    desk.begin(dashboard="")
    desk.report(leading=None)
    desk.report(leading=LEADING)
    desk.report(leading=LEADING)
    desk.report(folded=1)
    assert [(news.leading, news.folded) for news in told] == [(None, 0), (LEADING, 0), (LEADING, 1)]


def test_listeners_need_not_want_news(listener: Any) -> None:
    tell_news(listener, NEWS)
    heard: list[RunNews] = []
    listener.news = heard.append
    tell_news(listener, NEWS)
    assert heard == [NEWS]
