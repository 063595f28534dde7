"""The files of the real data sets share cells; the leak checker finds them by name, and by counts where names fail."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from campaigns.split_spec import SplitSpec
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.confounding import find_confounding
from lingshu_core.relations import Relations
from lingshu_core.shared_cells import SharedCells, repeated_cells, shared_cells
from lingshu_core.splits import Split
from screening.evaluating.leak_checker import check_leaks
from screening.evaluating.splitting import make_split

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("LINGSHU_DATA") or ROOT / "../shared/data")
ROLES = ("perturbation", "perturbation_type", "cell_type", "donor", "batch")
KANG, KANG_14K, KANG_CONTROLS, KANG_TINY = (
    "kang2018_ifnb_pbmc",
    "kang2018_ifnb_pbmc_14k_genes",
    "kang2018_control_8donors_1287",
    "kang2018_ifnb_tiny_100",
)

pytestmark = pytest.mark.data


def read(name: str, **more: str) -> Cells:
    path = DATA / f"{name}.h5ad"
    if not path.exists():
        pytest.skip(f"the real data are not here: set LINGSHU_DATA to the folder with {name}.h5ad")
    columns = {role: role for role in ROLES} | more
    return read_cells(CellSource(str(path), columns, context=("cell_type",)), experiment=False)


@pytest.fixture(scope="module")
def kang() -> Cells:
    return read(KANG)


@pytest.fixture(scope="module")
def split(kang: Cells) -> Split:
    return make_split(TypeAdapter(SplitSpec).validate_python({"kind": "combination"}), kang)


def agreement(kang: Cells, other: Cells, found: SharedCells, column: str) -> float:
    """How often the two files say the same of a cell that is in both, matched by its counts anew."""
    known = set(other.genes)
    genes = [gene for gene in kang.genes if gene in known]
    mine, theirs = (
        {row.tobytes(): label for row, label in zip(dense(cells, genes), cells.obs[column], strict=True)}
        for cells in (kang.select(found.by_content), other)
    )
    return float(np.mean([theirs[key] == label for key, label in mine.items()]))


def dense(cells: Cells, genes: list[str]) -> np.ndarray:
    column = {gene: i for i, gene in enumerate(cells.genes)}
    return np.asarray(cells.counts[:, [column[gene] for gene in genes]].toarray())


@pytest.mark.parametrize(("name", "shared"), [(KANG_14K, 832), (KANG_CONTROLS, 1_301)])
def test_names_and_counts_find_the_same_cells(kang: Cells, name: str, shared: int) -> None:
    found = shared_cells(kang, read(name))
    assert len(found.by_name) == shared
    assert found.by_content.tolist() == found.by_name.tolist()
    assert not len(found.renamed)
    assert not len(found.faint)


def test_cells_without_barcodes_are_found_by_their_counts(kang: Cells) -> None:
    tiny = read(KANG_TINY)
    found = shared_cells(kang, tiny)
    assert not len(found.by_name)
    assert found.compared_genes == 93
    assert len(found.by_content) > 850
    assert agreement(kang, tiny, found, "perturbation") == 1.0
    assert agreement(kang, tiny, found, "donor") > 0.99
    assert len(found.faint) < 0.05 * len(found.by_content)


@pytest.mark.parametrize("name", [KANG_14K, KANG_CONTROLS, KANG_TINY])
def test_an_evaluation_with_a_file_of_the_same_cells_is_refused(kang: Cells, split: Split, name: str) -> None:
    assert not check_leaks(split, kang).leaks
    report = check_leaks(split, kang, files=[str(DATA / f"{name}.h5ad")])
    assert {finding.kind for finding in report.leaks} == {"same_cells"}


def test_other_peoples_cells_are_no_leak(kang: Cells, split: Split) -> None:
    path = DATA / "pbmc3k_raw.h5ad"
    if not path.exists():
        pytest.skip("the real data are not here: set LINGSHU_DATA to the folder with pbmc3k_raw.h5ad")
    (note,) = check_leaks(split, kang, files=[str(path)]).findings
    assert note.severity == "note"
    assert "2 cells to learn from have the cell_type 'other', so they may be what is held out" in str(note)


@pytest.mark.parametrize("name", [KANG, "papalexi2021_thp1_crispr_299", "norman2019_mcfaline2023_devel_500"])
def test_no_cell_is_there_twice(name: str) -> None:
    repeated = repeated_cells(read(name))
    assert not repeated.sure.any()


def test_the_doubles_of_norman_are_5_3_and_7() -> None:
    norman = read("norman2019_mcfaline2023_devel_500", method="perturbation_method")
    split = make_split(TypeAdapter(SplitSpec).validate_python({"kind": "parts"}), norman)
    assert {fold.name: len(fold.questions) for fold in split.folds} == {
        "0 parts seen": 7,
        "1 part seen": 3,
        "2 parts seen": 5,
    }
    assert not check_leaks(split, norman).leaks


def test_paralogues_of_papalexi_stay_together() -> None:
    papalexi = read("papalexi2021_thp1_crispr_299", guide="guide")
    split = make_split(TypeAdapter(SplitSpec).validate_python({"kind": "gene_family"}), papalexi)
    (fold,) = [fold for fold in split.folds if any(q.perturbation == "IFNGR1" for q in fold.questions)]
    assert "IFNGR2" in {question.perturbation for question in fold.questions}
    assert not check_leaks(split, papalexi, relations=Relations()).leaks
    unaware = make_split(TypeAdapter(SplitSpec).validate_python({"kind": "unseen_perturbation"}), papalexi)
    assert not check_leaks(unaware, papalexi).leaks


@pytest.mark.parametrize(
    ("name", "factor", "other", "harmful"),
    [
        (KANG, "batch", "perturbed", True),
        (KANG_TINY, "batch", "perturbed", True),
        ("norman2019_mcfaline2023_devel_500", "batch", "method", False),
    ],
)
def test_factors_that_determine_the_perturbation_are_named(name: str, factor: str, other: str, harmful: bool) -> None:
    more = {"method": "perturbation_method"} if other == "method" else {}
    (found,) = [
        one
        for one in find_confounding(read(name, **more).obs, control="control")
        if (one.factor, one.other) == (factor, other)
    ]
    assert found.exact
    assert found.harmful == harmful
    assert found.cramers_v == pytest.approx(1.0)


def test_papalexi_is_not_confounded() -> None:
    assert find_confounding(read("papalexi2021_thp1_crispr_299", guide="guide").obs, control="control") == ()
