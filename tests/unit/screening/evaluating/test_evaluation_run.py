import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import polars as pl
import pytest

from screening.errors import LeakError
from screening.evaluating.evaluation_run import STAGES, run_evaluation

WriteYaml = Callable[..., Path]
TABLES = ("scores", "summary", "comparisons", "runs", "left_out", "perturbations")


class Listener:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.done = 0

    def stage(self, name: str, detail: str) -> None:
        self.stages.append(name)

    def progress(self, progress: Any) -> None:
        self.done = progress.done


@pytest.fixture
def listener() -> Listener:
    return Listener()


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES}


def test_an_evaluation_is_published_whole(tiny_evaluation: Path) -> None:
    manifest = json.loads((tiny_evaluation / "manifest.json").read_text())
    assert {"report.html", "report.md", "evaluation.json", "split.json", "leaks.json"} <= set(manifest["files"])
    for name, entry in manifest["files"].items():
        assert (tiny_evaluation / name).stat().st_size == entry["size"]
    found = tables(tiny_evaluation)
    assert set(found["scores"]["model"]) == {"tilted", "no_change", "additive", "replicate"}
    assert (found["runs"]["status"] == "done").all()
    assert found["runs"].filter(pl.col("model") == "tilted")["paths"].str.starts_with("bias+tilt").all()


def test_the_page_begins_with_the_verdict_and_fetches_nothing(tiny_evaluation: Path) -> None:
    facts = json.loads((tiny_evaluation / "evaluation.json").read_text())
    ((verdict,),) = [facts["verdicts"]]
    page = (tiny_evaluation / "report.html").read_text()
    first = re.search(r"<p[^>]*>(.*?)</p>", page, re.DOTALL)
    assert first is not None
    assert first[1].startswith("tilted ")
    assert verdict["judgement"].split()[0] in verdict["words"]
    assert (tiny_evaluation / "report.md").read_text().split("\n\n")[1].startswith(verdict["words"][:60])
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http:" not in page
    assert "https:" not in re.sub(r"data:image/png;base64,[^\"]+", "", page)


def test_predicted_and_real_effects_stand_side_by_side(tiny_evaluation: Path) -> None:
    effects = anndata.read_h5ad(tiny_evaluation / "effects.h5ad")
    silent = effects[effects.obs["model"] == "no_change"]
    assert np.abs(silent.X).max() == 0
    assert np.abs(silent.layers["real"]).max() > 0
    one = pl.read_parquet(tiny_evaluation / "scores.parquet").filter(
        (pl.col("metric") == "mae") & (pl.col("model") == "no_change")
    )
    row = effects[(effects.obs["model"] == "no_change") & (effects.obs["label"] == one["label"][0])]
    counted = row.layers["counted"][0]
    assert np.abs(row.layers["real"][0][counted]).mean() == pytest.approx(one["value"][0], rel=1e-4)


def test_the_same_file_again_computes_nothing_and_says_the_same(
    write_evaluation: WriteYaml, listener: Listener, tiny_evaluation: Path
) -> None:
    path = write_evaluation()
    first = run_evaluation(path, listener)
    assert listener.stages == list(STAGES)
    assert (first.computed, first.reused, first.complete) == (8, 0, True)
    again = run_evaluation(path, listener)
    assert (again.computed, again.reused) == (0, 8)
    assert again.files == first.files
    # In another folder: the same tables, words and pictures to the bit.
    other = json.loads((tiny_evaluation / "manifest.json").read_text())["files"]
    same = {name for name in other if name.endswith((".parquet", ".md", ".html", ".png"))}
    assert len(same) > 10
    assert {name: first.files[name] for name in same} == {name: other[name] for name in same}


def test_a_trained_model_is_not_trained_again_for_another_metric(
    write_evaluation: WriteYaml, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_evaluation(write_evaluation(), listener)
    monkeypatch.setattr("screening.evaluating.evaluation_training.finish", lambda *_: pytest.fail("trained again"))
    result = run_evaluation(write_evaluation(estimator={"steps": 3, "shards": 2, "depth_strata": 4}), listener)
    assert result.complete
    assert result.computed == 6  # the half of the real cells needs no estimator


def test_a_killed_evaluation_goes_on_where_it_was(
    write_evaluation: WriteYaml,
    listener: Listener,
    start_python: Callable[..., Any],
    tiny_evaluation: Path,
    tmp_path: Path,
) -> None:
    path = write_evaluation()
    code = (
        "import sys\nfrom screening.evaluating.evaluation_run import run_evaluation\n"
        "class L:\n    def stage(self, *a): pass\n    def progress(self, *a): pass\n"
        "run_evaluation(sys.argv[1], L())"
    )
    process = start_python(code, str(path))
    commits = tmp_path / "evaluation" / "ledger" / "commits"
    patience = time.monotonic() + 120
    while not (commits.exists() and len(list(commits.iterdir())) >= 2) and time.monotonic() < patience:
        time.sleep(0.02)
    process.kill()
    process.wait()
    there = len(list(commits.glob("*.json")))
    assert there >= 2
    result = run_evaluation(path, listener)
    assert (result.computed, result.reused) == (8 - there, there)
    straight = tables(tiny_evaluation)
    for name, table in tables(tmp_path / "evaluation").items():
        assert table.equals(straight[name]), name


@pytest.fixture
def given_cells(tiny: Path, tmp_path: Path) -> Callable[..., str]:
    """Write cells that somebody's model is said to have predicted: the real ones of every condition, shuffled gene by
    gene inside a condition, so that none of them is a copy; `given_cells(change)`."""

    def write(change: Callable[[anndata.AnnData], None] = lambda cells: None) -> str:
        cells = anndata.read_h5ad(tiny / "cells.h5ad")
        rng, counts = np.random.default_rng(0), np.asarray(cells.X.toarray())
        for rows in cells.obs.groupby(["perturbation", "cell_type"], observed=True).indices.values():
            for gene in range(cells.n_vars):
                counts[rows, gene] = rng.permutation(counts[rows, gene])
        cells.X = counts
        change(cells)
        cells.write_h5ad(tmp_path / "predicted.h5ad")
        return str(tmp_path / "predicted.h5ad")

    return write


def test_cells_of_any_model_can_be_judged(
    write_evaluation: WriteYaml, listener: Listener, given_cells: Callable[..., str], tmp_path: Path
) -> None:
    models = [{"name": "theirs", "cells": given_cells()}]
    result = run_evaluation(write_evaluation(models=models, baselines=["no_change"]), listener)
    assert result.complete
    means = tables(tmp_path / "evaluation")["summary"].filter(pl.col("metric") == "pearson_delta")
    found = dict(zip(means["model"], means["mean"], strict=True))
    assert found["theirs"] > 0.7  # these are the right answers, beside halves of the controls
    assert found["no_change"] == 0
    assert result.verdicts[0].judgement == "earns its place"


def test_a_unit_that_fails_is_told_and_the_others_are_not_lost(
    write_evaluation: WriteYaml,
    given_cells: Callable[..., str],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    def logarithms(cells: anndata.AnnData) -> None:
        cells.X = np.log1p(cells.X)

    models = [{"name": "theirs", "cells": given_cells(logarithms)}]
    code, out, _ = lingshu("evaluate", write_evaluation(models=models, baselines=["no_change"]))
    assert code == 3
    assert "theirs was not run (PredictionRefused: " in out
    assert "no integers" in out
    assert "4 units computed, 0 reused, 2 failed" in out
    found = tables(tmp_path / "evaluation")
    assert found["runs"].filter(pl.col("status") == "failed")["model"].to_list() == ["theirs", "theirs"]
    assert found["summary"].filter(pl.col("model") == "theirs")["status"].unique().to_list() == ["not run"]
    report = (tmp_path / "evaluation" / "report.md").read_text()
    assert "2 units failed" in report
    assert "| theirs |  | not run |" in report


def test_a_model_that_has_seen_the_answers_is_refused(
    write_evaluation: WriteYaml, listener: Listener, tiny: Path, tmp_path: Path
) -> None:
    models = [{"name": "all-seeing", "checkpoint": str(tiny / "model")}]
    with pytest.raises(LeakError, match="all-seeing"):
        run_evaluation(write_evaluation(models=models), listener)
    assert not (tmp_path / "evaluation").exists()


def test_a_leak_that_only_a_unit_sees_stops_everything(
    write_evaluation: WriteYaml, listener: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The cells to learn from are checked again where they are learned from."""
    monkeypatch.setattr(
        "screening.evaluating.evaluation_training._learned", lambda spec, fold: np.ones(len(fold.train), dtype=bool)
    )
    with pytest.raises(LeakError, match="LeakError: "):
        run_evaluation(write_evaluation(baselines=[]), listener)
    assert not (tmp_path / "evaluation" / "report.md").exists()


def test_nothing_is_trained_where_nothing_can_be_answered(
    write_evaluation: WriteYaml, lingshu: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    split = {"kind": "unseen_perturbation", "folds": 2, "minimum_cells": 16, "pool": ["donor"]}
    code, _, err = lingshu("evaluate", write_evaluation(split=split))
    assert code == 2
    assert re.search(r"evaluate.yaml:\d+: split: every question is about a perturbation that no training cell has", err)
    assert not (tmp_path / "evaluation").exists()


def test_calibration_questions_are_asked_but_not_scored(
    write_evaluation: WriteYaml, listener: Listener, tmp_path: Path
) -> None:
    split = {"kind": "donor_perturbation", "folds": 2, "minimum_cells": 8, "share": 0.3, "calibration": 0.5}
    run_evaluation(write_evaluation(split=split, baselines=["additive"], seeds=[0, 1]), listener)
    coverage = pl.read_parquet(tmp_path / "evaluation" / "coverage.parquet")
    assert coverage["rule"].unique().to_list() == ["calibration split"]
    assert coverage["coverage"].is_between(0, 1).all()
    held = json.loads((tmp_path / "evaluation" / "split.json").read_text())
    scores = tables(tmp_path / "evaluation")["scores"]
    asked = {question["label"] for fold in held["folds"] for question in fold["questions"]}
    assert set(scores["label"]) <= asked
    assert set(scores.filter(pl.col("model") == "tilted")["seed"]) == {0, 1}
    assert set(scores.filter(pl.col("model") == "additive")["seed"]) == {0}
