from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from campaigns.pairs import RankedSingles
from screening.deciding.hits import COLUMNS
from screening.planning.single_ranking import rank_singles
from screening.publishing.publication import HITS, hits_to_parquet

SCHEMA = {name: kind for name, (kind, _) in COLUMNS.items()}


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., str]:
    """Write a ranked table of (perturbation, dose, context, score) and give its folder."""

    def write(*rows: tuple[str, float | None, str, float | None], **more: Any) -> str:
        table = [
            {"perturbation": label, "perturbation_type": "drug" if dose else "genetic", "dose": dose}
            | {"context": context, "status": "failed" if score is None else "done", "score": score, "rank": 1}
            | {"score_se": 0.1, "support": "in_vocabulary", "training_cells": 1, "training_cells_all": 1}
            | {"top_up": "", "top_down": "", "decision": "undecided", "model_digest": "m" * 64, **more}
            for label, dose, context, score in rows
        ]
        (tmp_path / HITS).write_bytes(hits_to_parquet(pl.DataFrame(table, schema=SCHEMA)))
        return str(tmp_path)

    return write


def test_singles_are_ranked_by_their_mean_over_the_contexts_asked(publish: Callable[..., str]) -> None:
    rows = [("A", "x", 1.0), ("A", "y", 0.0), ("B", "x", 0.6), ("B", "y", 0.7), ("C", "x", 0.0), ("C", "z", 9.0)]
    url = publish(*((label, None, context, score) for label, context, score in (*rows, ("C", "y", 0.1))))
    found = rank_singles(url, "genetic", ["x", "y", "elsewhere"])
    assert isinstance(found, RankedSingles)
    assert found.names == ("B", "A", "C")
    assert (found.left_out, found.contexts, found.model_digest) == (0, ("x", "y"), "m" * 64)
    assert len(found.digest) == 64


def test_combinations_failures_and_other_types_have_no_place(publish: Callable[..., str]) -> None:
    url = publish(
        ("A", None, "x", 0.5),
        ("B", None, "x", None),
        ("A+B", None, "x", 3.0),
        ("D@1", 1.0, "x", 2.0),
        ("(+)-E@1", 1.0, "x", 1.0),
        ("D@10", 10.0, "x", 0.1),
    )
    genetic, drugs = (rank_singles(url, type, ["x"]) for type in ("genetic", "drug"))
    assert isinstance(genetic, RankedSingles)
    assert isinstance(drugs, RankedSingles)
    assert (genetic.names, genetic.left_out) == (("A",), 1)
    assert drugs.names == ("D", "(+)-E")  # each at its best dose


def test_what_is_refused_in_one_context_has_no_place(publish: Callable[..., str]) -> None:
    found = rank_singles(publish(("A", None, "x", 0.5), decision="refused"), "genetic", ["x"])
    assert isinstance(found, RankedSingles)
    assert (found.names, found.left_out) == ((), 1)


def test_equal_ones_are_in_the_order_of_names(publish: Callable[..., str]) -> None:
    found = rank_singles(publish(*((label, None, "x", 0.5) for label in "CAB")), "genetic", ["x"])
    assert isinstance(found, RankedSingles)
    assert found.names == ("A", "B", "C")


def test_places_without_results_or_contexts_are_told(publish: Callable[..., str], tmp_path: Path) -> None:
    missing = rank_singles(str(tmp_path / "nowhere"), "genetic", ["x"])
    assert isinstance(missing, str)
    assert "no such folder" in missing
    assert "screened first" in missing
    elsewhere = rank_singles(publish(("A", None, "x", 0.5)), "genetic", ["y"])
    assert isinstance(elsewhere, str)
    assert "none of the contexts of this screen; its are x" in elsewhere
