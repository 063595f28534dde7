import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import yaml

from campaigns.errors import SpecError, VocabularyError
from lingshu_core.checkpoint import load_header
from lingshu_core.errors import ConditionError, FeatureError, MissingColumn, PanelError, UnusableCells
from screening.errors import ResultsError
from screening.models.generate import GenerationResult, generate, read_request
from screening.training.training_request import train_model

Ask = Callable[..., tuple[GenerationResult, anndata.AnnData]]


@pytest.fixture
def ask(tiny: Path, tmp_path: Path) -> Ask:
    """Draw cells with the small model: `ask(cells=5, start={…})`; "." in a name leads into a block."""

    def draw(**changes: Any) -> tuple[GenerationResult, anndata.AnnData]:
        output = str(tmp_path / "cells.h5ad")
        options = {("model",): str(tiny / "model"), ("output",): output, ("sampler", "steps"): 3}
        given = {tuple(name.split("__")): value for name, value in changes.items()}
        spec, source = read_request(None, options | given)
        result = generate(spec, source, "lingshu generate …")
        return result, anndata.read_h5ad(output)

    return draw


@pytest.fixture
def real(tiny: Path) -> dict[str, Any]:
    return {"path": str(tiny / "cells.h5ad"), "keep": 0.4}


def test_unconditional_cells_follow_the_training_contexts(ask: Ask, tiny: Path) -> None:
    result, cells = ask(cells=90)
    assert cells.shape == (90, 40)
    assert cells.X.dtype == np.int32
    assert sp.issparse(cells.X)
    assert set(cells.obs["cell_type"]) == {"type_1", "type_2"}
    assert set(cells.obs["perturbation"]) == {"control"}
    assert cells.uns["lingshu"]["model_digest"] == result.model_digest == load_header(str(tiny / "model")).digest
    assert json.loads(cells.uns["lingshu"]["request"])["cells"] == 90
    assert cells.obs_names.is_unique


def test_the_same_request_gives_the_same_file_of_cells(ask: Ask) -> None:
    first, again, other = ask(cells=8)[1], ask(cells=8)[1], ask(cells=8, seed=1)[1]
    np.testing.assert_array_equal(first.X.toarray(), again.X.toarray())
    pd.testing.assert_frame_equal(first.obs, again.obs)
    assert (first.X.toarray() != other.X.toarray()).any()


def test_factors_may_stay_open(ask: Ask) -> None:
    _, cells = ask(cells=5, contexts="unspecified", context={"donor": "donor_1"})
    assert set(cells.obs["cell_type"]) == {"unspecified"}
    assert set(cells.obs["donor"]) == {"donor_1"}


def test_conditions_with_doses_and_combinations(ask: Ask) -> None:
    result, cells = ask(cells=3, perturbation="DRUG01@0.1", context={"cell_type": "type_1"})
    assert set(cells.obs["perturbation"]) == {"DRUG01@0.1"}
    assert set(cells.obs["perturbation_type"]) == {"drug"}
    assert result.condition == "DRUG01@0.1 in cell_type=type_1"
    assert set(ask(cells=3, perturbation="REG08+REG04")[1].obs["perturbation"]) == {"REG04+REG08"}


def test_a_drug_that_the_model_never_met_comes_with_its_structure(
    ask: Ask, write_train: Callable[..., Path], tmp_path: Path
) -> None:
    caffeine = {"structures": {"caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"}, "perturbation": "caffeine@1"}
    with pytest.raises(ConditionError, match="can't read structures, and knows no drug 'caffeine'"):
        ask(cells=2, **caffeine)
    table = tmp_path / "drugs.csv"
    table.write_text("drug,smiles\nDRUG01,CC(=O)OC1=CC=CC=C1C(=O)O\nDRUG02,CN1C=NC2=C1C(=O)NC(=O)N2C\n")
    source = {"kind": "smiles", "file": str(table), "name": "drug", "smiles": "smiles", "licence": "none"}
    train_model(write_train(features={"drug": [source]}, training={"epochs": 1}))
    result, cells = ask(cells=2, model=str(tmp_path / "model"), **caffeine)
    assert set(cells.obs["perturbation"]) == {"caffeine@1"}
    assert result.cells == 2
    with pytest.raises(FeatureError, match="valid SMILES"):
        ask(cells=2, model=str(tmp_path / "model"), **(caffeine | {"structures": {"caffeine": "C1CC("}}))


def test_a_share_of_each_real_cell_is_kept(ask: Ask, real: dict[str, Any], tiny: Path) -> None:
    where = {"cell_type": ["type_2"], "perturbation": ["control"]}
    result, cells = ask(start={**real, "where": where, "columns": {"donor": "donor"}}, perturbation="REG04")
    table = anndata.read_h5ad(tiny / "cells.h5ad")
    chosen = table[(table.obs["cell_type"] == "type_2") & (table.obs["perturbation"] == "control")]
    assert list(cells.obs["start_cell"]) == list(chosen.obs_names)
    np.testing.assert_array_equal(cells.obs["depth"], np.asarray(chosen.X.sum(axis=1)).ravel())
    assert list(cells.obs["donor"]) == list(chosen.obs["donor"])
    assert set(cells.obs["cell_type"]) == {"unspecified"}
    kept = cells.layers["kept"].toarray()
    assert set(kept.sum(axis=1)) == {16} == set(cells.obs["kept_genes"])
    np.testing.assert_array_equal(cells.X.toarray()[kept], chosen.X.toarray()[kept])
    assert any("16 genes of each cell are kept" in line for line in result.notices)


def test_start_cells_are_taken_in_turn(ask: Ask, real: dict[str, Any], tiny: Path) -> None:
    everything = anndata.read_h5ad(tiny / "cells.h5ad").n_obs
    _, few = ask(start=real, cells=6)
    assert few.obs["start_cell"].nunique() == 6
    _, many = ask(start=real, cells=everything + 6)
    assert many.obs["start_cell"].value_counts().max() == 2
    assert many.obs["start_cell"].nunique() == everything


@pytest.fixture
def mouse(tiny: Path, tmp_path: Path) -> dict[str, Any]:
    """The cells under other gene names, some of them ambiguous, and a table that leads back."""
    cells = anndata.read_h5ad(tiny / "cells.h5ad")[:30].copy()
    pairs = pd.DataFrame({"mouse": [name.title() for name in cells.var_names], "human": list(cells.var_names)})
    pairs.loc[len(pairs)] = [pairs["mouse"][0], "ANOTHER"]
    pairs.to_csv(tmp_path / "orthologs.tsv", sep="\t", index=False)
    cells.var_names = [name.title() for name in cells.var_names]
    cells.write_h5ad(tmp_path / "mouse.h5ad")
    return {
        "start": {"path": str(tmp_path / "mouse.h5ad"), "keep": 0.5},
        "orthologs": {"file": str(tmp_path / "orthologs.tsv"), "cells": "mouse", "model": "human"},
    }


def test_another_species_comes_in_and_goes_out_by_orthologs(ask: Ask, mouse: dict[str, Any]) -> None:
    result, cells = ask(**mouse)
    assert cells.n_vars == 40
    assert any("39 of the model's 40 genes" in line and "2 ambiguous" in line for line in result.notices)
    result, translated = ask(**mouse, output_genes="cells")
    assert translated.n_vars == 39
    assert all(
        name == gene.title() for name, gene in zip(translated.var_names, translated.var["model_gene"], strict=True)
    )
    assert any("1 genes have no one-to-one ortholog" in line for line in result.notices)
    np.testing.assert_array_equal(translated.X.toarray(), cells[:, list(translated.var["model_gene"])].X.toarray())


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"perturbation": "REG99"}, VocabularyError, "command line: perturbation: unknown perturbation 'REG99'"),
        ({"context": {"cell_type": "type_9"}}, VocabularyError, "context.cell_type: unknown cell_type"),
        ({"cells": 0}, SpecError, "command line: cells"),
        ({"start__keep": 0.2}, SpecError, "missing field 'path'"),
        ({"start__where": {"organ": ["x"]}}, MissingColumn, "obs has no column 'organ'"),
        ({"start__columns": {"donor": "cell_type"}}, ConditionError, "cells have donor 'type_1', which the model"),
        ({"start__columns": {"depth": "donor"}}, UnusableCells, "must be the total UMIs"),
        (
            {"context": {"donor": "donor_1"}, "contexts": "proportional", "start__columns": {"cell_type": "cell_type"}},
            None,
            "",
        ),
    ],
)
def test_wrong_requests_leave_nothing_behind(
    ask: Ask, real: dict[str, Any], tmp_path: Path, changes: dict[str, Any], error: type[Exception] | None, said: str
) -> None:
    whole = {**real} if any(name.startswith("start__") and "keep" not in name for name in changes) else None
    given = {f"start__{name}": value for name, value in (whole or {}).items()} | changes
    if error is None:
        assert set(ask(**given)[1].obs["donor"]) == {"donor_1"}
        return
    with pytest.raises(error) as caught:
        ask(**given)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_genes_of_another_kind_are_refused(ask: Ask, mouse: dict[str, Any]) -> None:
    with pytest.raises(PanelError, match="0 of the model's 40 genes"):
        ask(start=mouse["start"])


def test_an_output_that_cannot_be_written_is_told(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="can't be written"):
        ask(output=str(tmp_path / "file" / "cells.h5ad"))


def test_options_go_before_the_file(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "generate.yaml"
    content = {"kind": "generate", "model": str(tiny / "model"), "output": "a.h5ad", "sampler": {"steps": 9}, "seed": 4}
    path.write_text(yaml.safe_dump(content))
    spec, source = read_request(path, {("sampler", "schedule"): "cosine", ("output",): "b.h5ad"})
    assert (spec.sampler.steps, spec.sampler.schedule, spec.output, spec.seed) == (9, "cosine", "b.h5ad", 4)
    assert "generate.yaml and the command line" in source.file
    assert read_request(path, {})[0].output == "a.h5ad"
