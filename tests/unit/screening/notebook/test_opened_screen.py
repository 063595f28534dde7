import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from anndata import AnnData
from matplotlib.figure import Figure

import screening
from screening import run
from screening.deciding.hits import COLUMNS
from screening.errors import FigureError, ResultsError
from screening.notebook import opened_screen
from screening.notebook.opened_screen import Screen


@pytest.fixture(scope="module")
def opened(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Screen:
    """A screen of drawn cells with the small model: knock-outs and drugs in one cell type."""
    import yaml

    folder = tmp_path_factory.mktemp("opened")
    programme = {"file": str(tiny / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    content = {
        "kind": "screen",
        "name": "tiny",
        "model": str(tiny / "model"),
        "contexts": {"cell_type": "all_seen"},
        "perturbations": {"genetic": ["REG04"], "drug": "all_seen"},
        "objective": {"kind": "signature", "gene_set": programme},
        "estimator": {"kind": "sampled", "store_cells": True, "shards": 8, "depth_strata": 2, "steps": 2},
        "output": str(folder / "screen"),
        "compute": {"backend": "in_process"},
    }
    (folder / "screen.yaml").write_text(yaml.safe_dump(content))
    return screening.screen(folder / "screen.yaml")


def test_tables_are_polars(opened: Screen) -> None:
    hits = opened.hits()
    assert hits["rank"].to_list() == list(range(1, 11))
    assert set(COLUMNS) <= set(hits.columns)
    assert {"hits", "doses", "evidence"} <= set(opened.tables)
    assert set(opened.table("doses")["perturbation"]) == {"DRUG01", "DRUG02"}
    assert opened.table("hits").equals(hits)


def test_rows_are_chosen_by_context_decision_and_number(opened: Screen) -> None:
    assert set(opened.hits(context="type_1")["cell_type"]) == {"type_1"}
    assert opened.hits(context=["type_1", "type_2"]).height == 10
    assert opened.hits(decision="undecided", top=2)["decision"].to_list() == ["undecided"] * 2
    assert opened.hits(decision=["hit", "refused"]).is_empty()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda screen: screen.hits(context="type_9"), "no context 'type_9'.*there are: cell_type=type_1"),
        (lambda screen: screen.hits(decision="hits"), "no decision 'hits'; there are: hit, not, undecided"),
        (lambda screen: screen.table("dose"), "no table 'dose'; there are: doses, evidence"),
        (lambda screen: screen.evidence("REG4"), "no perturbation 'REG4'; nearest: REG04"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_ones(opened: Screen, ask: Callable[[Screen], object], told: str) -> None:
    with pytest.raises(ResultsError, match=told) as caught:
        ask(opened)
    assert caught.value._render_traceback_()[0].startswith("ResultsError: ")  # type: ignore[attr-defined]


def test_effects_and_cells_are_anndata(opened: Screen) -> None:
    effects, cells = opened.effects(), opened.cells()
    assert effects.shape == (10, 40)
    assert effects.uns["units"]["X"] == "log1p counts per 10k"
    assert cells.shape == (12 * 16, 40)  # ten conditions and a control in each cell type, 8 shards × 2 strata
    assert cells.obs["perturbation"].value_counts()["control"] == 32
    assert (cells.X.data == cells.X.data.astype(int)).all()


def test_facts_are_those_of_the_files(opened: Screen) -> None:
    assert opened.question == opened.provenance["question"]
    assert opened.plan["run_id"] == opened.provenance["run_id"] == opened.hits()["run_id"][0]
    assert opened.campaign["estimator"]["steps"] == 2
    with pytest.raises(TypeError):
        opened.provenance["question"] = "another"  # type: ignore[index]


def test_a_notebook_shows_it_with_names_escaped(opened: Screen) -> None:
    named = replace(opened._published, manifest={**opened.provenance, "campaign": "<b>"})
    shown = opened_screen.Screen(named, opened._blobs)._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b><b>" not in shown
    assert shown.count("<tr>") == 11
    assert "FDR under the model" in shown
    assert "10 conditions: 10 undecided" in repr(opened)
    assert "what would refute this" in opened.evidence("REG04", "type_2")._repr_html_()


def test_plots_are_figures_of_its_tables(opened: Screen) -> None:
    plots = [opened.plot.rank(top=3, context="type_1"), opened.plot.heat_map(), opened.plot.doses()]
    plots.append(opened.plot.cells(method="pca"))
    assert all(isinstance(each, Figure) for each in plots)
    assert all(opened.question.partition(" (")[0] in each.get_suptitle() for each in plots[:3])
    for lacking in (opened.plot.volcano, opened.plot.calibration):  # the model has no null
        with pytest.raises(FigureError, match="pseudo_perturbations"):
            lacking()


def test_a_second_run_opens_what_is_there(opened: Screen) -> None:
    again = screening.open_results(Path(opened.url))
    assert again.hits().equals(opened.hits())


def test_results_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no such folder; give the `output:` of a campaign that ran"):
        screening.open_results(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match=r"no hits\.parquet here"):
        screening.open_results(tmp_path)


def test_a_screen_without_cells_says_how_to_keep_them(opened: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    without = opened_screen.Screen(opened._published, opened._blobs)
    monkeypatch.setitem(without._published.manifest, "cells", None)  # type: ignore[arg-type]
    with pytest.raises(ResultsError, match="kept no cells; set `estimator"):
        without.cells()


def test_what_falls_short_is_a_warning(
    opened: Screen, write_screen: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = pl.DataFrame({"status": ["done", "failed"], "reason": [None, "Broken: it fell (worker.py:1)"]})
    ended = run.RunResult("id", opened.url, hits, computed=0, reused=0, failed=1)
    monkeypatch.setattr(run, "run_campaign", lambda *_, **__: ended)  # what fails conditions is tested with the run
    with pytest.warns(UserWarning, match="1 of 2 conditions failed, such as: Broken: it fell; `status` and `reason`"):
        screening.screen(write_screen())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = replace(ended, failed=0)
        monkeypatch.setattr(run, "run_campaign", lambda *_, **__: whole)
        assert isinstance(screening.screen(write_screen()).effects(), AnnData)
