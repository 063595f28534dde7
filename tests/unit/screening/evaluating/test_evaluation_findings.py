import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingshu_core.checkpoint import load_header
from lingshu_core.score_table import Scores
from screening.evaluating.evaluation_checks import look_for_leaks
from screening.evaluating.evaluation_findings import asked_lines, gather_findings, mean_effects
from screening.evaluating.evaluation_store import UnitResult
from screening.evaluating.evaluation_tables import Run
from screening.models.model_card import PARTS, write_card


@pytest.fixture
def answered(plan_evaluation: Callable[..., Any]) -> tuple[Any, list[Run]]:
    """Two seeds of a model that says 1 and 3 of every gene, and nobody else."""
    planned = plan_evaluation(seeds=[0, 1])
    named = {contender.name: contender for contender in planned.asked}
    runs = []
    for unit in planned.units:
        result = None
        if unit.contender == "tilted":
            labels = tuple(question.label for question in planned.split.fold(unit.fold).questions)
            effects = np.full((len(labels), 40), 1.0 + 2 * unit.seed, dtype=np.float32)
            result = UnitResult(labels, effects, effects * 0, Scores())
        runs.append(Run(named[unit.contender], unit, result, "" if result else "broken"))
    return planned, runs


def test_seeds_are_averaged(answered: tuple[Any, list[Run]]) -> None:
    planned, runs = answered
    found = mean_effects(runs, "fold 1")
    assert set(found) == {"tilted"}
    assert set(found["tilted"]) == {question.label for question in planned.split.folds[0].questions}
    for effect in found["tilted"].values():
        np.testing.assert_array_equal(effect, 2.0)


def test_an_evaluation_of_which_nearly_all_failed_still_has_its_findings(answered: tuple[Any, list[Run]]) -> None:
    planned, runs = answered
    leaks = look_for_leaks(planned.evaluation, planned.cells, planned.split)
    found = gather_findings(planned.evaluation, planned.asked, planned.cells, planned.split, runs, leaks)
    (verdict,) = found.verdicts
    said = "tilted is undecided: no baseline was run, so there is nothing to compare it with."
    assert verdict.words == f"{said} Not run: no_change and additive."
    assert found.coverage["model"].to_list() == ["tilted"] * found.coverage.height
    assert any(line.startswith("split tiny: combination, 2 folds") for line in found.asked)
    assert any("not asked" in line for line in found.checks)
    assert "agreement.png" in found.pictures
    assert "scores.png" not in found.pictures


def test_the_gates_of_a_model_with_a_card_are_told(
    plan_evaluation: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "carded"
    shutil.copytree(tiny / "model", folder)
    models = [{"name": "carded", "checkpoint": str(folder)}]
    assert not plan_evaluation(models=models).evaluation.cards
    gates = [{"verdict": verdict} for verdict in ("pass", "pass", "fail")]
    digest = load_header(str(folder)).digest
    write_card(str(folder), {**dict.fromkeys(PARTS), "model_digest": digest, "gates": gates}, "# card")
    planned = plan_evaluation(models=models)
    lines = asked_lines(planned.evaluation, planned.cells, planned.split)
    assert "gates of carded, from its model card: 2 pass, 1 fail" in lines
