from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lingshu_core.baseline_checkpoint import CONTROL_CELLS, BaselineProvenance, load_baseline, save_baseline
from lingshu_core.baseline_models import BASELINE_KINDS, BaselinePredictor, fit_baseline
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import CARD, MANIFEST, WEIGHTS, _sha256, _to_bytes, load_checkpoint, load_header
from lingshu_core.conditioning import Condition
from lingshu_core.errors import CheckpointError
from lingshu_core.perturbation_features import FeatureBlock, PerturbationFeatures, combine
from lingshu_core.predictor import StoredBaseline, open_predictor
from lingshu_core.preparation import build_vocabulary

HERE = {"cell_type": "B cells", "donor": "D1"}
ASKED = (
    Condition(HERE),
    Condition({"cell_type": "T cells"}, (("JAK2", None),)),
    Condition(HERE, (("TP53", None),)),
    Condition(HERE, (("STAT1", None), ("ruxolitinib", 0.5))),
)
FROM = BaselineProvenance("cells.h5ad", "d" * 64, 136, "CC0", "nowhere", '[{"donor": "D2"}]', "i" * 64)


@pytest.fixture(scope="module")
def features() -> PerturbationFeatures:
    values = np.random.default_rng(0).normal(size=(3, 4))
    return combine([FeatureBlock(("STAT1", "JAK2", "TP53"), values, "table", "genetic", "genes.csv", "ab", "CC0")])


def fitted(kind: str, cells: Cells, features: PerturbationFeatures) -> BaselinePredictor:
    return fit_baseline(kind, cells, build_vocabulary(cells, features), features)


@pytest.mark.parametrize("kind", [kind for kind in BASELINE_KINDS if kind != "scvi"])
def test_what_is_read_predicts_what_was_written(
    cells: Cells, features: PerturbationFeatures, kind: str, memory_url: str
) -> None:
    baseline = fitted(kind, cells, features)
    digest = save_baseline(memory_url, baseline, FROM)
    opened = open_predictor(memory_url)
    assert isinstance(opened, StoredBaseline)
    assert opened.header.digest == digest
    assert opened.vocabulary == baseline.vocabulary
    for condition in ASKED:
        np.testing.assert_array_equal(opened.baseline.moments(condition), baseline.moments(condition))
    np.testing.assert_array_equal(opened.baseline.controls.counts.toarray(), baseline.controls.counts.toarray())


def test_the_card_says_what_it_is(cells: Cells, features: PerturbationFeatures, tmp_path: Path) -> None:
    save_baseline(str(tmp_path), fitted("knn", cells, features), FROM)
    card = load_header(str(tmp_path)).card
    assert (card["model"], card["kind"], card["paths"]) == ("baseline", "knn", "knn")
    assert card["settings"] == {"weighting": "contexts", "min_cells": 10}
    assert (card["licence"], card["held_out"], card["cells"]) == ("CC0", '[{"donor": "D2"}]', 136)
    assert card["features"][0]["file"] == "genes.csv"
    assert set(card["choices"]) == {"0"}


def test_the_same_baseline_has_the_same_digest(cells: Cells, features: PerturbationFeatures, tmp_path: Path) -> None:
    digests = {save_baseline(str(tmp_path / name), fitted("low_rank", cells, features), FROM) for name in "ab"}
    assert len(digests) == 1
    assert digests != {save_baseline(str(tmp_path / "c"), fitted("additive", cells, features), FROM)}


def test_it_is_no_cell_model(cells: Cells, features: PerturbationFeatures, tmp_path: Path) -> None:
    save_baseline(str(tmp_path), fitted("additive", cells, features), FROM)
    with pytest.raises(CheckpointError, match="is the baseline 'additive', which has no network") as told:
        load_checkpoint(str(tmp_path))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", [WEIGHTS, CONTROL_CELLS, CARD])
def test_a_changed_file_is_found(cells: Cells, features: PerturbationFeatures, tmp_path: Path, name: str) -> None:
    save_baseline(str(tmp_path), fitted("additive", cells, features), FROM)
    content = bytearray((tmp_path / name).read_bytes())
    content[-3] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="do not match the manifest"):
        open_predictor(str(tmp_path))


def rewritten(folder: Path, **changes: object) -> None:
    """Change the card, and the manifest with it."""
    card = json.loads((folder / CARD).read_text()) | changes
    data = _to_bytes(card)
    (folder / CARD).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][CARD] = {"size": len(data), "sha256": _sha256(data)}
    (folder / MANIFEST).write_bytes(_to_bytes(manifest))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "a baseline of version 2, and this version of lingshu-screen predicts by version 1"),
        ({"kind": "magic"}, "do not fit together .*there is no baseline 'magic'"),
        ({"kind": "ridge"}, "do not fit together .*ridge predicts from features"),
        ({"settings": {"votes": 3}}, "do not fit together"),
        ({"low_rank": {"penalty": 1.0, "error": 1.0}}, "do not fit together"),
        ({"features": [{"kind": "table"}]}, "do not fit together"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    cells: Cells, features: PerturbationFeatures, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    save_baseline(str(tmp_path), fitted("additive", cells, features), FROM)
    rewritten(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        open_predictor(str(tmp_path))


def test_a_missing_file_is_named(cells: Cells, features: PerturbationFeatures, tmp_path: Path) -> None:
    save_baseline(str(tmp_path), fitted("additive", cells, features), FROM)
    (tmp_path / CONTROL_CELLS).unlink()
    with pytest.raises(CheckpointError, match=rf"{CONTROL_CELLS} is missing"):
        load_baseline(str(tmp_path), load_header(str(tmp_path)))


def test_the_order_of_context_factors_is_nothing(cells: Cells, features: PerturbationFeatures, tmp_path: Path) -> None:
    """A vocabulary is read back with its factors in another order than they were named in."""
    turned = replace(cells, context_roles=("donor", "cell_type"))
    baseline = fitted("additive", turned, features)
    save_baseline(str(tmp_path), baseline, FROM)
    opened = open_predictor(str(tmp_path))
    assert isinstance(opened, StoredBaseline)
    for condition in ASKED:
        np.testing.assert_array_equal(opened.baseline.moments(condition), baseline.moments(condition))
        expected = fitted("additive", cells, features).moments(condition)
        np.testing.assert_allclose(opened.baseline.moments(condition), expected, rtol=1e-5, atol=1e-6)
