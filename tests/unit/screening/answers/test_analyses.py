"""What is published beside the ranked table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ledger import Ledger
from campaigns.plan import Block
from screening.answers.analyses import ScoredScreen, analyse
from screening.deciding.hits import COLUMNS, hit_table
from screening.deciding.null_table import null_table
from screening.deciding.scoring import score
from screening.folding.aggregation import fold
from screening.folding.effect_matrix import EffectMatrix
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.publishing.publication import NULL


@pytest.fixture
def null() -> pl.DataFrame:
    row: dict[str, Any] = {"perturbation": "null-1", "context": "T", "status": "done", "score": 0.1, "cell_type": "T"}
    return null_table([row], ("cell_type",))


def test_without_a_null_there_is_no_table_of_it(planned: PlannedCampaign) -> None:
    assert NULL not in analyse(ScoredScreen(planned, hit_table([], {}), None, EffectMatrix(("A",))))


def test_every_column_of_the_null_has_a_meaning(planned: PlannedCampaign, null: pl.DataFrame, tmp_path: Path) -> None:
    table = analyse(ScoredScreen(planned, hit_table([], {}), null, EffectMatrix(("A",))))[NULL]
    assert table.rows is null
    assert list(table.meanings) == null.columns
    assert table.meanings["score"] == COLUMNS["score"][1]
    (tmp_path / NULL).write_bytes(table.to_parquet())
    told = json.loads(pl.read_parquet_metadata(tmp_path / NULL)["lingshu.columns"])
    assert set(told) == set(pl.read_parquet(tmp_path / NULL).columns)


@pytest.fixture(params=["several contexts", "a null and two members"])
def large(request: pytest.FixtureRequest, tiny: Path, write_screen: Callable[..., Path]) -> PlannedCampaign:
    """Knock-outs, a combination of them and side effects; in several contexts, or with a null in an ensemble."""
    one, other = "REG04", "REG05"
    changes: dict[str, Any] = {"across": {"factor": "cell_type"}, "contexts": {"cell_type": "all_seen"}}
    if request.param != "several contexts":
        folder = request.getfixturevalue("tiny_null")
        changes = {"model": str(folder / "ensemble"), "contexts": "all_seen"}
    path = write_screen(
        perturbations={"genetic": [one, other, f"{one}+{other}"]},
        safety={"signatures": [{"name": "harm", "up": ["GENE01"], "limit": 0.2}]},
        **changes,
    )
    return plan_campaign(load_campaign(path))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.sampled_from([0.0, 0.3, 0.9, 1.0]), seed=st.integers(0, 1000), by_condition=st.booleans())
def test_every_analysis_stands_whatever_failed(
    large: PlannedCampaign,
    made_up_block: Callable[..., bytes],
    fresh_ledger: Callable[[], Ledger],
    share: float,
    seed: int,
    by_condition: bool,
) -> None:
    ledger = fresh_ledger()

    def committed(block: Block) -> bool:
        lot = block.condition_key if by_condition else block.id
        return int(lot[:8], 16) * (seed + 1) % 1000 < 1000 * share

    for block in filter(committed, large.plan.blocks):
        ledger.commit(block.id, made_up_block(block), replica="replica-0")
    screen = score(large, fold(large.plan, ledger, {}))
    tables = analyse(screen)
    for table in tables.values():
        assert set(table.rows.columns) <= set(table.meanings)
        assert pl.read_parquet(table.to_parquet()).equals(table.rows, null_equal=True)
    if share in (0.0, 1.0):
        assert set(screen.hits["status"]) == {"done" if share else "failed"}
