import numpy as np
import polars as pl
import pytest

from screening.deciding.hits import COLUMNS
from screening.deciding.null_distribution import NullDistribution
from screening.deciding.null_table import NULL_COLUMNS, null_summary, null_table, standardised_blocks, tail_weights


def rows(context: str, number: int, seed: int) -> list[dict[str, object]]:
    scores = np.random.default_rng(seed).normal(seed, 1.0, number)
    return [
        {"perturbation": f"null-{i:02d}", "context": context, "status": "done", "score": score, "training_cells_all": 9}
        for i, score in enumerate(scores)
    ]


def failed(context: str) -> dict[str, object]:
    return {"perturbation": "null-99", "context": context, "status": "failed", "reason": "it broke"}


def test_its_columns_are_those_of_the_ranked_table() -> None:
    table = null_table(rows("T", 3, 0), ("cell_type",))
    assert table.columns == [*NULL_COLUMNS, "cell_type"]
    assert all(table.schema[name] == COLUMNS[name][0] for name in NULL_COLUMNS)


def test_contexts_and_labels_are_in_order() -> None:
    table = null_table([*rows("U", 2, 0), failed("T"), *rows("T", 2, 1)], ())
    assert list(zip(table["context"], table["perturbation"], strict=True)) == [
        *(("T", "null-00"), ("T", "null-01"), ("T", "null-99")),
        *(("U", "null-00"), ("U", "null-01")),
    ]


def test_the_summary_has_the_null_of_every_context() -> None:
    table = null_table([*rows("T", 25, 1), failed("T"), *rows("U", 1, 3)], ())
    first, second = null_summary(table)
    scores = table.filter((pl.col("context") == "T") & (pl.col("status") == "done"))["score"].to_numpy()
    null = NullDistribution.of(scores, np.full(25, 9.0))
    assert null is not None
    assert (first["context"], first["blocks"], first["typical_cells"]) == ("T", 25, 9.0)
    assert (first["centre"], first["sd"]) == (pytest.approx(scores.mean()), pytest.approx(scores.std(ddof=1)))
    assert first["minimum_effect"] == pytest.approx(null.minimum_effect([9.0]))
    assert second == {"context": "U", "blocks": 1}


def test_blocks_of_all_contexts_are_brought_to_one_scale() -> None:
    blocks = standardised_blocks(null_table([*rows("T", 300, 1), failed("T"), *rows("U", 200, 7)], ()))
    assert blocks.shape == (2, 300)  # contexts, labels; null-99 of T failed
    assert np.isfinite(blocks).sum(axis=1).tolist() == [300, 200]
    assert np.nanmean(blocks, axis=1) == pytest.approx([0, 0], abs=1e-9)
    assert np.nanstd(blocks, axis=1) == pytest.approx([1, 1], abs=0.02)
    assert standardised_blocks(null_table([failed("T")], ())).size == 0


def test_the_manifest_tells_of_the_tails() -> None:
    told = tail_weights(null_table([*rows("T", 300, 1), *rows("U", 300, 7)], ()))
    assert sum(told["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert max(told["weights"], key=told["weights"].get) in ("normal", "t10")
    assert 300 <= told["independent_blocks"] <= 600
