from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from campaigns.data_spec import DataSpec
from campaigns.screen_spec import ReferenceSpec
from lingshu_core.errors import MissingColumn, UnreadableCells
from screening.confounders import consequence, find_confounders, find_reference_confounders, is_warning

CELLS = 120
Write = Callable[..., DataSpec]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write cells, half of them controls, with some more columns: `write(batch=[…])`; returns the data block."""

    def make(name: str = "cells", context: tuple[str, ...] = (), **columns: Any) -> DataSpec:
        obs = pd.DataFrame({"treatment": ["ctrl", "A"] * (CELLS // 2), **columns}).astype(str)
        obs.index = [f"{name}-{number}" for number in range(CELLS)]
        counts = np.ones((CELLS, 3), dtype=np.uint16)
        anndata.AnnData(counts, obs, pd.DataFrame(index=["G1", "G2", "G3"])).write_h5ad(tmp_path / f"{name}.h5ad")
        named = {"perturbation": "treatment"} | {role: role for role in context}
        return block(tmp_path / f"{name}.h5ad", named, context)

    return make


def block(path: Path, named: dict[str, Any], context: tuple[str, ...] = ()) -> DataSpec:
    content = {"path": str(path), "control": "ctrl", "columns": named, "context": context}
    return DataSpec.model_validate(content)


BY_TREATMENT = ["early", "late"] * (CELLS // 2)
BALANCED = ["early"] * (CELLS // 2) + ["late"] * (CELLS // 2)


def test_a_batch_that_gives_the_perturbation_away_is_named_though_no_column_names_it(write: Write) -> None:
    (found,) = find_confounders(write(plate=BY_TREATMENT))
    assert (found.factor, found.uncovered) == ("plate", ("A",))
    assert is_warning(found)
    assert "'plate'" in found.text
    assert "'plate'" in consequence(found)
    assert "no split can tell them apart" in consequence(found)


def test_a_guilty_part_of_the_context_does_not_make_others_look_guilty(write: Write) -> None:
    donors = ["d1", "d1", "d2", "d2"] * (CELLS // 4)
    found = find_confounders(write(context=("plate", "donor"), plate=BY_TREATMENT, donor=donors))
    assert [each.factor for each in found] == ["plate"]


def test_a_batch_with_both_kinds_of_cells_is_nothing(write: Write) -> None:
    assert find_confounders(write(plate=BALANCED)) == ()


def test_a_copy_of_the_perturbation_and_names_of_cells_are_no_factors(write: Write) -> None:
    copies = {"condition": ["ctrl", "A"] * (CELLS // 2), "barcode": list(range(CELLS))}
    assert find_confounders(write(**copies)) == ()


def test_guides_tell_the_target_by_design(write: Write) -> None:
    assert find_confounders(write(guide=["none", "g1", "none", "g2"] * (CELLS // 4))) == ()


def test_a_line_that_is_a_method_is_named(tmp_path: Path, write: Write) -> None:
    lines = ["K562"] * (CELLS // 2) + ["A172"] * (CELLS // 2)
    methods = ["CRISPRa"] * (CELLS // 2) + ["CRISPRi"] * (CELLS // 2)
    write(line=lines, how=methods)
    data = block(
        tmp_path / "cells.h5ad", {"perturbation": "treatment", "method": "how", "cell_type": "line"}, ("cell_type",)
    )
    (found,) = find_confounders(data)
    assert (found.factor, found.other, found.harmful) == ("cell_type", "method", False)
    assert is_warning(found)
    assert "carry over" in consequence(found)


def test_two_factors_that_go_together_are_a_note(write: Write) -> None:
    sites = ["north"] * (CELLS // 2) + ["south"] * (CELLS // 2)
    (found,) = find_confounders(write(plate=BALANCED, site=sites))
    assert not is_warning(found)
    assert "splits" in consequence(found)


def test_perturbations_that_differ_by_a_factor_with_controls_are_told(write: Write, tmp_path: Path) -> None:
    quarter = CELLS // 4
    treatment = ["A"] * quarter + ["ctrl"] * quarter + ["B"] * quarter + ["ctrl"] * quarter
    data = write(treatment=treatment, plate=BALANCED)
    (found,) = find_confounders(data)
    assert (found.factor, found.other, found.harmful) == ("plate", "perturbation", False)
    assert is_warning(found)
    assert "has controls beside it" in consequence(found)


def test_files_are_looked_at_together(write: Write, tmp_path: Path) -> None:
    write("one", plate=["p1"] * CELLS, only_here=BY_TREATMENT)
    write("two", plate=["p2"] * CELLS)
    pattern = {"path": str(tmp_path / "*.h5ad"), "control": "ctrl", "columns": {"perturbation": "treatment"}}
    assert find_confounders(DataSpec.model_validate(pattern)) == ()
    write("two", treatment=["B", "B"] * (CELLS // 2), plate=["p2"] * CELLS)
    (found,) = find_confounders(DataSpec.model_validate(pattern))
    assert found.uncovered == ("B",)


def test_an_atlas_has_nothing_to_find(write: Write, tmp_path: Path) -> None:
    write(plate=BY_TREATMENT)
    assert find_confounders(block(tmp_path / "cells.h5ad", {"perturbation": None})) == ()


def test_what_is_not_there_is_said(write: Write, tmp_path: Path) -> None:
    write()
    with pytest.raises(MissingColumn, match="'nothing'"):
        find_confounders(block(tmp_path / "cells.h5ad", {"perturbation": "nothing"}))
    with pytest.raises(UnreadableCells):
        find_confounders(block(tmp_path / "none.h5ad", {"perturbation": "treatment"}))


def reference(data: DataSpec) -> ReferenceSpec:
    groups = {"from": {"disease": "healthy"}, "to": {"disease": "ill"}}
    columns = {"perturbation": "treatment", "disease": "disease"}
    content = {"path": data.path, "control": "ctrl", "columns": columns}
    return ReferenceSpec.model_validate({"mode": "reverse", "data": content, **groups})


def test_a_reference_whose_groups_are_batches_is_told(write: Write) -> None:
    disease = ["healthy"] * (CELLS // 2) + ["ill"] * (CELLS // 2)
    (found,) = find_reference_confounders(reference(write(disease=disease, plate=BALANCED)))
    assert found.factor == "plate"


def test_donors_of_each_group_are_replicates(write: Write) -> None:
    disease = ["healthy"] * (CELLS // 2) + ["ill"] * (CELLS // 2)
    donors = ["d1", "d2"] * (CELLS // 4) + ["d3", "d4"] * (CELLS // 4)
    assert find_reference_confounders(reference(write(disease=disease, donor=donors))) == ()
