from pathlib import Path

import numpy as np
import pytest

from benchmarks import coverage_rows
from benchmarks.coverage_questions import Answer
from benchmarks.coverage_rows import ENSEMBLES, SEEDS, Row, load_answers, save_answers, simulation_rows
from benchmarks.coverage_tables import half_of, show_kang, show_simulations
from lingshu_core.uncertainty import Prediction

GENES = 30


def made(number: int, *, spread: bool = False, true: bool = True, group: str | None = None) -> Answer:
    group = group or f"A{number}"
    rng = np.random.default_rng(number)
    effect = rng.normal(size=GENES)
    real = effect + 0.1 * rng.normal(size=GENES)
    real[0] = np.nan  # own target
    members = np.full(GENES, 0.1) if spread else None
    se = np.full(GENES, 0.05)
    genes = Prediction(f"A{number} in T", group, effect, real, se, members, 0.01, np.ones(GENES))
    few = (None if members is None else members[:1], 0.01, np.ones(1))
    score = Prediction(f"A{number} in T", group, effect[1:2], real[1:2], se[:1], *few)
    return Answer(genes, score, real + 0.01 if true else None, float(real[1]) if true else None)


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("true", [False, True])
def test_answers_are_read_as_they_were_written(tmp_path: Path, spread: bool, true: bool) -> None:
    written = [made(number, spread=spread, true=true) for number in range(3)]
    save_answers(written, tmp_path / "answers.npz")
    found = load_answers(tmp_path / "answers.npz")
    assert found.groups == ["A0", "A1", "A2"]
    for before, after in zip(written, found.genes, strict=True):
        assert np.array_equal(before.genes.real, after.real, equal_nan=True)
        assert np.array_equal(before.genes.counted, after.counted)
        assert (after.spread is not None) == spread
        assert np.broadcast_to(before.genes.mc_se, GENES).tolist() == np.asarray(after.mc_se).tolist()
    assert len(found.true_genes) == len(found.true_score) == (3 if true else 0)
    if true:
        assert np.isnan(found.true_genes[0].real[0])  # an own target stays left out
        assert (found.true_genes[0].real_se == 0).all()


def test_rows_have_names_of_their_own() -> None:
    rows = simulation_rows()
    assert len({row.name for row in rows}) == len(rows) == len(SEEDS) + len(ENSEMBLES)
    assert " " not in Row("kang", "NK cells", (0,)).name


def test_what_was_not_run_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coverage_rows, "FOLDER", tmp_path)
    save_answers([made(number) for number in range(40)], simulation_rows()[0].file)
    save_answers([made(1, true=False, group="B cells")], Row("kang", "B cells", (0,)).file)
    figures = show_simulations() | show_kang(["B cells", "NK cells"])
    out = capsys.readouterr().out
    assert out.count("| 1, one model | *not run*") == 2
    assert "| NK cells | *not run*" in out
    assert "90% over all cell types: *not run*" in out
    assert figures["simulation-0-0-v2 genes measured 0.9"]["groups"] == 20


def test_halves_are_halves() -> None:
    groups = [f"A{number}" for number in range(10)]
    assert len(half_of(groups, 0)) == 5
    assert half_of(groups, 0) == half_of(groups, 0) != half_of(groups, 1)
