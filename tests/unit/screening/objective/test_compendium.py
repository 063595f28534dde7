from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lingshu_core.errors import FeatureError
from screening.errors import ObjectiveError
from screening.objective.compendium import compendium_scores

GENES = tuple("ABCDEFGH")
WEIGHTS = np.array([1.0, 1.0, 0, 0, 0, 0, -1.0, -1.0])
LIKE = np.array([2.0, 1.5, 0.3, 0.1, -0.1, -0.3, -1.5, -2.0])


@pytest.fixture
def profiles(tmp_path: Path) -> tuple[str, pl.DataFrame]:
    """Twenty profiles, the first like the query, the second its opposite; genes in another order, and one more."""
    values = np.random.default_rng(0).normal(size=(20, 8))
    values[:2] = LIKE, -LIKE
    table = pl.DataFrame({"name": [f"p{n}" for n in range(20)], "ONLY_HERE": np.full(20, 9.0)})
    table = table.with_columns(**{gene: values[:, place] for place, gene in reversed(list(enumerate(GENES)))})
    return str(tmp_path / "profiles.parquet"), table


def test_each_profile_is_scored_on_the_genes_of_the_model(profiles: tuple[str, pl.DataFrame]) -> None:
    path, table = profiles
    table.write_parquet(path)
    found = compendium_scores(path, GENES, WEIGHTS)
    assert found.shape == (20,)
    assert found[:2] == pytest.approx([1, -1])
    longer = compendium_scores(path, (*GENES, "ONLY_IN_MODEL"), np.append(WEIGHTS, 0.0))
    np.testing.assert_array_equal(longer, found)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.drop("A"), "no column of numbers for A of the query"),
        (lambda table: table.with_columns(pl.col("H").cast(pl.String)), "no column of numbers for H of the query"),
        (lambda table: table.head(19), "has 19 profiles; 20 are needed"),
        (lambda table: table.drop("C"), "shares 7 genes with the model, and 4 of them are the query"),
        (lambda table: table.with_columns(B=pl.lit(float("nan"))), "NaN or infinite"),
    ],
)
def test_what_is_no_compendium(profiles: tuple[str, pl.DataFrame], spoil: object, message: str) -> None:
    path, table = profiles
    spoil(table).write_parquet(path)  # type: ignore[operator]
    with pytest.raises(ObjectiveError, match=message):
        compendium_scores(path, GENES, WEIGHTS)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="no such file"):
        compendium_scores(str(tmp_path / "none.parquet"), GENES, WEIGHTS)
    (tmp_path / "text.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(ObjectiveError, match=r"text\.parquet: the compendium is no readable \.parquet"):
        compendium_scores(str(tmp_path / "text.parquet"), GENES, WEIGHTS)
