from typing import Any

from screening.models.card_text import MOST_ROWS, gate_name, privacy_lines, render_card, verdict_counts


def gate(verdict: str, *, trained: bool = True, perturbation: str = "", **context: str) -> dict[str, Any]:
    parts = [[perturbation, None]] if perturbation else []
    known = {"cells": 1_500, "compared": 200, "reason": "depth 60% of the way to wrong cells", "trained": trained}
    return {"verdict": verdict, "context": context, "parts": parts, "perturbation": perturbation, **known}


def content(**changes: Any) -> dict[str, Any]:
    return {
        "model_digest": "ab" * 32,
        "limits": ["It is small.", "It is old."],
        "data": {
            "path": "cells.h5ad",
            "digest": "cd" * 32,
            "cells": 4_321,
            "genes": 9_015,
            "factors": ["cell_type"],
            "contexts": 2,
            "control_cells": 1_000,
            "perturbations": 3,
            "held_out": [{"cell_type": ["B", "T"], "perturbation": "X"}],
            "licence": "MIT",
            "source": "a paper",
        },
        "training": {
            "paths": "bias+tilt",
            "parameters": 12_345,
            "settings": {"seed": 0},
            "epochs": 7,
            "validation_loss": 0.25,
            "versions": {"torch": "2.13.0"},
        },
        "measured": None,
        "gates": None,
        "privacy": None,
        "scores": None,
        **changes,
    }


MEASURED = {
    "measured": {
        "cells": 2_754,
        "data": ["kang.h5ad"],
        "of_training": True,
        "sampler": {"steps": 6, "schedule": "geometric", "guidance": 0.0},
        "seed": 0,
    }
}


def test_a_card_says_what_it_knows_and_what_not() -> None:
    text = render_card(content())
    for said in (
        "# Model card of abababababab",
        "- It is small.",
        "4,321 cells of cells.h5ad (sha256 cdcdcdcdcdcd), 9,015 genes",
        "held out: cell_type B, T, perturbation X",
        "licence: MIT",
        "12,345 parameters",
        "best validation loss 0.2500 nats per gene, 7 epochs",
        "Not measured. `lingshu card MODEL --data cells.h5ad`",
        "None. `lingshu card MODEL --evaluation RESULTS`",
    ):
        assert said in text


def test_gates_are_a_table_with_the_worst_first() -> None:
    gates = [
        gate("pass", cell_type="B"),
        gate("fail", cell_type="T"),
        gate("undecided"),
        gate("warn", perturbation="X"),
    ]
    text = render_card(content(gates=gates, **MEASURED))
    assert "with 6 geometric steps, guidance 0, seed 0" in text
    assert "Controls: 1 pass, 1 fail, 1 undecided." in text
    assert "Perturbed cells: 1 warn." in text
    assert text.index("| T | 1,500 | 200 | fail |") < text.index("| B | 1,500 | 200 | pass |")
    assert "| X in all cells |" in text


def test_a_long_table_is_cut() -> None:
    gates = [gate("warn", cell_type=str(number)) for number in range(MOST_ROWS + 3)]
    text = render_card(content(gates=gates, **MEASURED))
    assert "And 3 more in `model_card.json`." in text


def test_gates_that_nobody_could_decide_are_only_counted() -> None:
    text = render_card(content(gates=[gate("undecided"), gate("not measured")], **MEASURED))
    assert "Controls: 1 undecided, 1 not measured." in text
    assert "| cells |" not in text


def test_names_of_gates() -> None:
    assert gate_name(gate("pass")) == "all cells"
    assert gate_name(gate("pass", cell_type="B", donor="D1")) == "B, D1"
    assert gate_name(gate("pass", perturbation="X", trained=False, cell_type="B")) == "X in B (no training cell)"
    assert verdict_counts([gate("fail"), gate("pass"), gate("fail")]) == "1 pass, 2 fail"


def test_privacy_is_a_line_a_measure() -> None:
    whole = {"value": 0.512, "low": 0.4, "high": 0.6, "words": "not told from others"}
    absent = {"value": None, "low": None, "high": None, "words": "not measured: no donors"}
    copies = {"value": 3.0, "low": None, "high": None, "words": "3 of 100"}
    lines = list(privacy_lines({"membership": whole, "distance_ratio": absent, "duplicates": copies}))
    assert lines[0].endswith("area under the curve: 0.51 (90 % interval 0.40–0.60); not told from others")
    assert lines[1].endswith("not measured: no donors")
    assert lines[2] == "exact duplicates of training cells: 3; 3 of 100"


def test_scores_are_a_table_with_the_verdict() -> None:
    scores = {
        "name": "kang",
        "evaluation": "s3://bucket/kang",
        "split": {"kind": "combination"},
        "of": "scores of this very model",
        "verdict": "It earns its place.",
        "summary": [
            {"metric": "pearson_delta", "mean": 0.8, "mean_low": 0.7, "mean_high": 0.9, "units": 7},
            {"metric": "pds_l1", "mean": None, "mean_low": None, "mean_high": None, "units": None},
        ],
    }
    text = render_card(content(scores=scores))
    assert "It earns its place." in text
    assert "| pearson_delta | 0.800 | 0.700 to 0.900 | 7 |" in text
    assert "pds_l1" not in text
