from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

from lingshu_core.adaptation import AdaptationConfig
from lingshu_core.checkpoint import load_checkpoint
from lingshu_core.depths import pooled_depths
from lingshu_core.errors import MissingColumn, PanelError, UnusableCells
from screening.errors import ResultsError
from screening.training.adapt import AdaptationRequest, AdaptationResult, adapt_model

Adapt = Callable[..., AdaptationResult]
Lingshu = Callable[..., tuple[int, str, str]]


@pytest.fixture
def newcomers(tiny: Path, tmp_path: Path) -> Path:
    """Control cells of a line that the small model never saw."""
    cells = anndata.read_h5ad(tiny / "cells.h5ad")
    cells = cells[cells.obs["perturbation"] == "control"].copy()
    cells.obs["line"] = "newcomer"
    cells.write_h5ad(tmp_path / "new.h5ad")
    return tmp_path / "new.h5ad"


@pytest.fixture
def adapt(tiny: Path, tmp_path: Path, newcomers: Path) -> Adapt:
    def run(**changes: Any) -> AdaptationResult:
        asked = {
            "model": str(tiny / "model"),
            "data": str(newcomers),
            "output": str(tmp_path / "adapted"),
            "columns": {"cell_type": "line"},
            "config": AdaptationConfig(steps=5),
        }
        return adapt_model(AdaptationRequest(**{**asked, **changes}))

    return run


def test_the_new_checkpoint_knows_the_new_context_and_says_so(adapt: Adapt, tiny: Path, tmp_path: Path) -> None:
    result = adapt()
    before, after = load_checkpoint(str(tiny / "model")), load_checkpoint(result.output)
    assert after.digest == result.digest != before.digest
    assert "newcomer" in after.vocabulary.factors["cell_type"]
    assert after.vocabulary.contexts[-1].adapted
    assert after.card["adapted"][0]["model"] == before.digest
    assert after.card["adapted"][0]["values"] == {"cell_type": ["newcomer"]}
    assert after.card["licence"] == before.card["licence"]
    assert after.priors == before.priors


def test_it_can_be_screened_and_is_marked(
    adapt: Adapt, tmp_path: Path, write_screen: Callable[..., Path], lingshu: Lingshu
) -> None:
    model = adapt().output
    campaign = write_screen(model=model, contexts={"cell_type": "newcomer"})
    code, out, err = lingshu("plan", campaign)
    assert code == 0, err
    assert "features_only" in out


def test_the_command_line_does_the_same(tiny: Path, newcomers: Path, tmp_path: Path, lingshu: Lingshu) -> None:
    options = ["--factor", "cell_type=line", "--where", "perturbation=control", "--steps", "5"]
    code, out, err = lingshu("adapt", tiny / "model", newcomers, "--output", tmp_path / "out", *options)
    assert code == 0, err
    assert "2 new contexts from 160 control cells" in out
    assert "cell_type newcomer" in out
    assert load_checkpoint(str(tmp_path / "out")).vocabulary.contexts[-1].adapted


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"columns": {"patient": "line"}},
            MissingColumn,
            "--factor patient: the model has no context factor",
        ),
        ({"columns": {"cell_type": "nothing"}}, MissingColumn, "no column 'nothing'"),
        ({"columns": {}}, UnusableCells, "was trained on .* leave them out here"),
        ({"where": {"perturbation": ["nothing"]}}, MissingColumn, "no cell has perturbation 'nothing'"),
        ({"depth": "line"}, UnusableCells, "cells have no depth above zero"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    adapt: Adapt, tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        adapt(**changes)
    assert not (tmp_path / "adapted" / "manifest.json").exists()


def test_the_model_itself_is_never_overwritten(adapt: Adapt, tiny: Path) -> None:
    with pytest.raises(ResultsError, match="is the model itself, which stays as it is"):
        adapt(output=f"{tiny / 'model'}/")


def test_other_genes_are_refused(adapt: Adapt, newcomers: Path) -> None:
    cells = anndata.read_h5ad(newcomers)
    cells.var_names = [f"other{i}" for i in range(cells.n_vars)]
    cells.write_h5ad(newcomers)
    with pytest.raises(PanelError, match="of the model's"):
        adapt()


def test_labels_that_are_missing_are_refused(adapt: Adapt, newcomers: Path) -> None:
    cells = anndata.read_h5ad(newcomers)
    labels = cells.obs["line"].astype(object)
    labels.iloc[3] = np.nan
    cells.obs["line"] = labels
    cells.write_h5ad(newcomers)
    with pytest.raises(UnusableCells, match=r"obs\['line'\] is empty in 1 of the cells"):
        adapt()


def test_the_model_itself_is_never_overwritten_however_its_path_is_written(
    adapt: Adapt, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny)
    with pytest.raises(ResultsError, match="is the model itself"):
        adapt(output="./model")


def test_a_depth_below_the_counts_is_refused(adapt: Adapt, newcomers: Path) -> None:
    cells = anndata.read_h5ad(newcomers)
    cells.obs["half"] = 0.5
    cells.write_h5ad(newcomers)
    with pytest.raises(UnusableCells, match=r"obs\['half'\] is below the sum of the counts"):
        adapt(depth="half")


def test_what_was_known_keeps_its_depths(adapt: Adapt, newcomers: Path) -> None:
    model = load_checkpoint(adapt().output)
    before = [seen for seen in model.vocabulary.contexts if not seen.adapted]
    donor = before[0].factors["donor"]
    pooled = pooled_depths(model.vocabulary, model.control_depths, {"donor": donor})
    known = [d for seen, d in zip(model.vocabulary.contexts, model.control_depths, strict=True) if seen in before]
    mine = [d for seen, d in zip(before, known, strict=True) if seen.factors["donor"] == donor]
    assert pooled.max() <= max(d.max() for d in mine)
    assert pooled.min() >= min(d.min() for d in mine)
    new = pooled_depths(model.vocabulary, model.control_depths, {"cell_type": "newcomer", "donor": donor})
    assert len(new)
