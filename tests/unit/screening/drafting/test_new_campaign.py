"""`lingshu new`: from a file of cells to a campaign that validates, trains and runs as it is."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from campaigns.screen_spec import SignatureSpec
from campaigns.source import load_screen, load_training
from lingshu_core.errors import UnusableCells
from screening.drafting.campaign_draft import Wishes
from screening.drafting.new_campaign import campaign_name, new_campaign
from screening.errors import DraftError

Lingshu = Callable[..., tuple[int, str, str]]


@pytest.fixture
def write_cells(tmp_path: Path) -> Callable[..., Path]:
    """Write 240 cells of 24 genes: half controls, two perturbations, two cell types; columns may be changed."""

    def write(name: str = "cells.h5ad", layers: dict[str, Any] | None = None, **columns: Any) -> Path:
        draws = np.random.default_rng(0)
        counts = draws.poisson(3.0, (240, 24)).astype(np.int32)
        obs = {
            "condition": (["ctrl", "A", "ctrl", "B"] * 60),
            "Cell.Type": (["T cell"] * 120 + ["B cell"] * 120),
            **columns,
        }
        table = pd.DataFrame({k: v for k, v in obs.items() if v is not None}, index=[f"c{i}" for i in range(240)])
        if "condition" in table:
            perturbed = np.flatnonzero(table["condition"] == "A")
            counts[perturbed, 1:9], counts[perturbed, 9:17] = 6, 0
        cells = anndata.AnnData(sp.csr_matrix(counts), obs=table, var=pd.DataFrame(index=[f"G{i}" for i in range(24)]))
        for layer, change in (layers or {}).items():
            cells.layers[layer] = cells.X.copy() if change is None else change(cells.X)
        if layers:
            cells.X = cells.X.log1p()
        cells.write_h5ad(tmp_path / name)
        return tmp_path / name

    return write


def drafted(path: Path, tmp_path: Path, **wishes: Any) -> Any:
    return new_campaign(str(path), str(tmp_path / "campaign"), Wishes(**wishes), force=True).draft


def test_what_it_writes_validates_trains_and_runs(
    lingshu: Lingshu, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny / "cells.h5ad", "cells.h5ad")
    code, out, err = lingshu("new", "cells.h5ad", "first")
    assert (code, err) == (0, "")
    assert "lingshu train first/train.yaml" in out
    for name in ("train.yaml", "screen.yaml"):
        code, out, err = lingshu("validate", f"first/{name}")
        assert (code, err) == (0, ""), name
    train, screen = Path("first/train.yaml"), Path("first/screen.yaml")
    # Smaller, so that it takes seconds; nothing else is changed.
    screen.write_text(screen.read_text().replace("ray", "in_process").replace("steps: 6", "steps: 1"))
    assert lingshu("train", train, "--epochs", 1)[0] == 0
    code, out, err = lingshu("run", screen, "--top", 3)
    assert (code, err) == (0, "")
    assert "0 conditions failed" in out


def test_the_comments_say_what_is_in_the_data(tiny: Path, tmp_path: Path) -> None:
    made = new_campaign(str(tiny / "cells.h5ad"), str(tmp_path / "first"))
    text = made.files[0].read_text()
    spec = load_training(made.files[0], {}).spec
    assert spec.data.factors == ("cell_type", "donor")
    assert {"perturbation", "perturbation_type", "dose", "cell_type", "donor"} <= set(spec.data.columns.named)
    controls = int((made.draft.obs["perturbation"] == "control").sum())
    assert f"{controls:,} control cells" in text
    for context, row in made.draft.contexts.iterrows():
        assert re.search(rf"# +{re.escape(str(context))} +{row['cells']} +{row['controls']}", text)
    for label, cells in made.draft.obs["perturbation"].value_counts().items():
        assert label == "control" or f"{label} {cells}" in text.replace("\n# ", " ")


def test_the_schemas_lie_where_the_files_say(tiny: Path, tmp_path: Path) -> None:
    made = new_campaign(str(tiny / "cells.h5ad"), str(tmp_path / "first"))
    for file in made.files[:2]:
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
        assert named is not None
        assert (file.parent / named[1]).exists()


def test_columns_are_found_by_name_and_value(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    donors = ["d1", "d2", "d2", "d1"] * 60
    made = drafted(write_cells(patient_id=donors, Lane=[f"l{i % 3}" for i in range(240)]), tmp_path)
    assert made.columns == {
        "perturbation": "condition",
        "cell_type": "Cell.Type",
        "donor": "patient_id",
        "batch": "Lane",
    }
    assert made.control == "ctrl"
    assert made.context == ("cell_type", "donor")
    assert made.question.mimic == "A"


def test_the_layer_with_counts_is_found(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    made = drafted(write_cells(layers={"scaled": lambda x: x * 1.5, "umis": None}), tmp_path)
    assert made.survey.counts.layer == "umis"
    assert any("no integers" in note for note in made.notes["layer"])


def test_a_batch_per_treatment_is_left_out(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    treated = ["b0", "b1", "b0", "b2"] * 60
    made = drafted(write_cells(batch=treated, donor=treated), tmp_path)
    assert made.context == ("cell_type",)
    assert "batch" not in made.columns
    assert any("gives the perturbation away" in note for note in made.notes["context"])


def test_what_the_user_names_is_taken(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    path = write_cells(arm=["x", "y", "x", "z"] * 60, score=["lo", "hi"] * 120)
    made = drafted(
        path,
        tmp_path,
        perturbation="arm",
        control="x",
        columns={"cell_type": "none"},
        context=("Cell.Type",),
        up=("G1",),
        down=("G2",),
    )
    spec = load_screen(tmp_path / "campaign" / "screen.yaml", {}).spec
    assert made.context == ("Cell.Type_group",)
    assert isinstance(spec.objective, SignatureSpec)
    assert (spec.objective.up, spec.objective.down) == (("G1",), ("G2",))
    assert made.control == "x"


def test_unusable_columns_are_left_out_with_the_reason(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    made = drafted(write_cells(dose=["", "10 uM", "", "5"] * 60, donor=["d1", "", "d2", "d2"] * 60), tmp_path)
    assert "dose" not in made.columns
    assert "doses that are no numbers" in made.notes["columns"][0]
    assert any("have no 'donor'" in note for note in made.notes["context"])


def test_a_screen_of_small_contexts_leaves_null_work_out(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    # 20 groups, and B cells of six donors with ten controls each: hardly a group has a cell there.
    made = drafted(write_cells(donor=["d0"] * 120 + [f"d{cell // 20}" for cell in range(120)]), tmp_path)
    text = (tmp_path / "campaign" / "screen.yaml").read_text().replace("\n# ", " ")
    spec = load_screen(tmp_path / "campaign" / "screen.yaml", {}).spec
    assert made.context == ("cell_type", "donor")
    assert spec.contexts == {"cell_type": ("all_seen",)}
    assert "of 7 contexts that could be screened, 6 have fewer than 40 control cells" in text
    assert "87% of the work would be null" in text
    assert "across:" not in text
    assert "averaged over" in text


def test_labels_that_look_like_yaml_stay_what_they_are(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    odd = ["no", "a: b # c", "no", "{x}\n'\""] * 60
    made = drafted(write_cells(condition=odd), tmp_path, perturbation="condition", control="no")
    spec = load_training(tmp_path / "campaign" / "train.yaml", {}).spec
    assert spec.data.control == "no"
    assert made.columns["perturbation"] == "condition"


REFUSED = [
    pytest.param({}, {"perturbation": "conditon"}, "nearest: condition", id="column"),
    pytest.param({}, {"control": "contrl"}, "nearest: ctrl", id="control"),
    pytest.param({}, {"layer": "count"}, "there is no layer 'count'", id="layer"),
    pytest.param({}, {"up": ("G99",)}, "there is no gene 'G99'", id="gene"),
    pytest.param({}, {"columns": {"donor": "who"}}, "no column 'who' (--donor)", id="donor"),
    pytest.param({"condition": ["x", "y"] * 120}, {}, "--perturbation COLUMN --control LABEL", id="no control"),
    pytest.param({"condition": ["ctrl"] * 240}, {}, "an atlas, with nothing to screen", id="atlas"),
    pytest.param({"condition": None, "Cell.Type": None}, {}, "obs has no columns", id="obs"),
    pytest.param({"layers": {"scaled": lambda x: x * 1.5}}, {}, "no matrix holds raw UMI counts", id="counts"),
]


@pytest.mark.parametrize(("columns", "wishes", "says"), REFUSED)
def test_what_cannot_be_drafted_is_refused(
    write_cells: Callable[..., Path], tmp_path: Path, columns: dict[str, Any], wishes: dict[str, Any], says: str
) -> None:
    with pytest.raises(DraftError, match=re.escape(says)):
        drafted(write_cells(**columns), tmp_path, **wishes)
    assert not (tmp_path / "campaign").exists()


def test_cells_without_a_label_are_refused_as_in_a_training(write_cells: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UnusableCells, match="60 cells have no perturbation label"):
        drafted(write_cells(condition=["ctrl", "A", "ctrl", ""] * 60), tmp_path)


def test_a_campaign_that_is_there_stays(lingshu: Lingshu, write_cells: Callable[..., Path], tmp_path: Path) -> None:
    path = write_cells()
    assert lingshu("new", path, tmp_path / "first")[0] == 0
    code, _, err = lingshu("new", path, tmp_path / "first")
    assert code == 2
    assert err.startswith("error: ")
    assert "train.yaml and screen.yaml exist already; --force writes over them" in err
    assert lingshu("new", path, tmp_path / "first", "--force", "--name", "other")[0] == 0
    assert load_training(tmp_path / "first" / "train.yaml", {}).spec.name == "other"


@pytest.mark.parametrize(("text", "name"), [("my cells (1)", "my-cells-1"), ("…", "campaign"), ("a.b", "a.b")])
def test_names_of_campaigns(text: str, name: str) -> None:
    assert campaign_name(text) == name
