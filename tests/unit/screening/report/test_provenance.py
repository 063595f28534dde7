from collections.abc import Callable

from screening.report.provenance import day, provenance
from screening.report.source import ReportSource


def test_where_it_comes_from(source: Callable[..., ReportSource]) -> None:
    found = provenance(source())
    facts = dict(found.facts)
    assert facts["Estimator"] == "variance reduced, T = 6 geometric steps, w = 0, 8 shards × 16 cells, prior none"
    assert (facts["Seed"], facts["Run"]) == ("3", "ab" * 32)
    assert facts["Published"] == "22 November 2026, 03:40 UTC"
    assert facts["Model"] == f"results/model ({'cd' * 32})"
    assert found.files == (("hits.parquet", "1,234", "ef" * 32),)


def test_members_of_an_ensemble(source: Callable[..., ReportSource]) -> None:
    members = [{"name": "a", "digest": "11"}, {"name": "b", "digest": "22"}]
    facts = provenance(source(manifest={"members": members, "model_card": ["33", None]})).facts
    assert [text for name, text in facts if name == "Member"] == ["a (11)", "b (22)"]
    assert dict(facts)["Model card"] == "33"


def test_days() -> None:
    assert day("2026-01-05T10:00:00+02:00") == "5 January 2026, 08:00 UTC"
    assert day("some day") == "some day"
