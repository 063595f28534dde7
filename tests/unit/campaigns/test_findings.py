from __future__ import annotations

import pytest

from campaigns.errors import VocabularyError, Where
from campaigns.findings import Findings, some


def test_nothing_wrong_raises_nothing() -> None:
    findings = Findings()
    findings.notice("two contexts are left out")
    findings.raise_problems()
    assert findings.notices == ["two contexts are left out"]


def test_all_problems_are_raised_together() -> None:
    findings = Findings()
    findings.problem(Where("a.yaml", 1), "wrong")
    findings.unknown(Where("a.yaml", 2), "gene", "STAT11", ["STAT1"])
    with pytest.raises(VocabularyError) as caught:
        findings.raise_problems()
    assert str(caught.value) == "a.yaml:1: wrong\na.yaml:2: unknown gene 'STAT11'; nearest: STAT1"


def test_suggestions_end_where_nobody_reads_them() -> None:
    findings = Findings()
    for line in range(30):
        findings.unknown(Where("a.yaml", line), "gene", "STAT11", ["STAT1"])
    assert "nearest" in findings.problems[0].text
    assert "nearest" not in findings.problems[29].text


@pytest.mark.parametrize(("names", "said"), [([], ""), (["a", "b"], "a, b"), (list("abcde"), "a, b, c and 2 more")])
def test_some_names_and_how_many_more(names: list[str], said: str) -> None:
    assert some(names) == said
