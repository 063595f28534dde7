from __future__ import annotations

import pytest
from pydantic import ValidationError

from campaigns.data_spec import ColumnsSpec, DataSpec

COLUMNS = {"perturbation": "target", "cell_type": "celltype", "batch": "run", "tissue": "organ"}


def data_spec(**values: object) -> DataSpec:
    return DataSpec.model_validate({"path": "cells.h5ad", "columns": COLUMNS, **values})


def test_only_the_perturbation_is_required() -> None:
    assert ColumnsSpec.model_validate({"perturbation": "target"}).named == {"perturbation": "target"}


def test_named_columns_include_free_ones() -> None:
    assert ColumnsSpec.model_validate({**COLUMNS, "donor": None}).named == COLUMNS


def test_the_context_is_cell_type_and_donor_where_named() -> None:
    assert data_spec().factors == ("cell_type",)
    assert data_spec(columns={**COLUMNS, "donor": "patient"}).factors == ("cell_type", "donor")
    assert data_spec(context=["tissue", "batch"]).factors == ("tissue", "batch")
    assert data_spec(context=[]).factors == ()


@pytest.mark.parametrize("factor", ["donor", "perturbation", "perturbation_type", "dose", "depth", "file", "organ"])
def test_what_is_no_factor_of_a_context_is_refused(factor: str) -> None:
    columns = {**COLUMNS, "dose": "dose", "depth": "umis", "perturbation_type": "type", "file": "file"}
    with pytest.raises(ValidationError):
        data_spec(columns=columns, context=[factor])


@pytest.mark.parametrize(
    ("factor", "other"),
    [
        *((name, f"{name}_group") for name in ("condition", "context", "rank", "status", "score", "reason", "cell")),
        *((name, f"{name}_group") for name in ("shard", "gene", "log_depth", "file")),
        ("_index", "index_group"),
        ("effect[STAT1]", "effect_group"),
        ("my/tissue", "my_tissue_group"),
    ],
)
def test_a_factor_named_like_a_column_of_the_results_is_refused_with_another_name(factor: str, other: str) -> None:
    columns = {"perturbation": "target", factor: "my_column"}
    with pytest.raises(ValidationError) as caught:
        data_spec(columns=columns, context=[factor])
    assert f"such as `{other}: my_column`" in caught.value.errors()[0]["msg"]
    assert data_spec(columns=columns).factors == ()  # to hold cells out by it is fine
    assert data_spec(columns={"perturbation": "target", other: "my_column"}, context=[other]).factors == (other,)


def test_free_columns_that_nothing_uses_are_found() -> None:
    assert [path for path, _ in data_spec().unused_columns(set())] == [("columns", "tissue")]
    assert data_spec().unused_columns({"tissue"}) == []
    assert data_spec(context=["tissue"]).unused_columns(set()) == []


def test_an_atlas_names_no_perturbation() -> None:
    atlas = {"path": "a.h5ad", "columns": {"perturbation": None, "cell_type": "type"}}
    assert DataSpec.model_validate(atlas).columns.named == {"cell_type": "type"}
    with pytest.raises(ValidationError, match=r"columns\.perturbation is null"):
        DataSpec.model_validate(atlas | {"columns": {"perturbation": None, "dose": "dose"}})
    with pytest.raises(ValidationError, match="perturbation"):
        DataSpec.model_validate(atlas | {"columns": {"cell_type": "type"}})  # forgotten is not the same as null
