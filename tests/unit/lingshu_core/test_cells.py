from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import fsspec
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells, CellSource, read_cells, readable
from lingshu_core.errors import DataError, MissingColumn, NotCounts, UnreadableCells, UnusableCells
from lingshu_core.preparation import build_vocabulary
from lingshu_core.vocabulary import Vocabulary

SourceOf = Callable[..., CellSource]
Spoil = Callable[[anndata.AnnData], None]


def _log_normalise(table: anndata.AnnData) -> None:
    table.X = table.X.multiply(1e4 / table.X.sum(axis=1)).log1p().tocsr()


def _normalise(table: anndata.AnnData) -> None:
    table.X = table.X.multiply(1e4 / table.X.sum(axis=1)).tocsr()


def _scale(table: anndata.AnnData) -> None:
    dense = table.X.toarray()
    table.X = dense - dense.mean(axis=0)


def _put_nan(table: anndata.AnnData) -> None:
    table.X.data[5] = np.nan


def _put_infinity(table: anndata.AnnData) -> None:
    table.X = table.X.toarray()
    table.X[0, 0] = np.inf


def _overflow(table: anndata.AnnData) -> None:
    table.X = table.X.toarray().astype(np.int64)
    table.X[0, 0] = 4_000_000_000


def _complex(table: anndata.AnnData) -> None:
    table.X = table.X.toarray().astype(complex)


def _detected(table: anndata.AnnData) -> None:
    table.X = table.X.toarray() > 0


def _repeat_genes(table: anndata.AnnData) -> None:
    table.var_names = ["GENE0", "GENE0", *table.var_names[2:]]


def _empty_cells(table: anndata.AnnData) -> None:
    dense = table.X.toarray()
    dense[[0, 7]] = 0
    table.X = sp.csr_matrix(dense)


def _unused_category(table: anndata.AnnData) -> None:
    table.obs["treatment"] = pd.Categorical(table.obs["treatment"]).add_categories(["TYK2", "IRF1"])


def _only_controls(table: anndata.AnnData) -> None:
    table.obs["treatment"] = "ctrl"


def _no_label(table: anndata.AnnData) -> None:
    table.obs.loc[table.obs_names[:3], "treatment"] = np.nan


def _relabel(old: str, new: str) -> Spoil:
    def spoil(table: anndata.AnnData) -> None:
        table.obs["treatment"] = table.obs["treatment"].replace(old, new)

    return spoil


def _blank_donor(table: anndata.AnnData) -> None:
    table.obs.loc[table.obs_names[:2], "donor"] = ["", " "]


def _nameless_gene(table: anndata.AnnData) -> None:
    table.var_names = ["", " ", *table.var_names[2:]]


def _two_types(table: anndata.AnnData) -> None:
    table.obs.loc[table.obs_names[np.flatnonzero(table.obs["treatment"] == "STAT1")[0]], "kind"] = "cytokine"


def _infinite_dose(table: anndata.AnnData) -> None:
    table.obs["dose"] = table.obs["dose"].replace(10.0, np.inf)


def _strange_type(table: anndata.AnnData) -> None:
    table.obs["kind"] = table.obs["kind"].replace("drug", "compound")


def _negative_dose(table: anndata.AnnData) -> None:
    table.obs["dose"] = -table.obs["dose"]


def _donor_per_treatment(table: anndata.AnnData) -> None:
    table.obs["donor"] = np.where(table.obs["treatment"] == "ctrl", "D1", "D2")


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (
            _log_normalise,
            NotCounts,
            r"X has values that are no integers \(such as \d.*; log-normalised\?\).*data\.layer",
        ),
        (_normalise, NotCounts, r"no integers \(such as \d.*; normalised\?\); give raw UMI counts"),
        (_scale, NotCounts, r"X has negative values \(smallest -.*\), as after scaling; give raw UMI counts"),
        (_put_nan, NotCounts, r"X has NaN or infinite values; give raw UMI counts"),
        (_put_infinity, NotCounts, r"X has NaN or infinite values"),
        (_overflow, NotCounts, r"X has a value of 4e\+09, and no cell has 2,147,483,647 UMIs of a gene; give raw"),
        (_complex, NotCounts, r"X holds complex128 and no numbers of UMIs; give raw UMI counts"),
        (_detected, NotCounts, r"X holds bool and no numbers of UMIs; give raw UMI counts"),
        (_repeat_genes, UnusableCells, r"1 duplicate genes \(GENE0\); sum or drop them"),
        (_empty_cells, UnusableCells, r"2 cells have no counts at all; drop them \(scanpy\.pp\.filter_cells\)"),
        (_unused_category, UnusableCells, r"no cells: IRF1, TYK2; drop them with .*remove_unused_categories"),
        (_only_controls, UnusableCells, r"every cell is labelled 'ctrl': there is no perturbation to learn"),
        (_no_label, UnusableCells, r"3 cells have no perturbation label; drop them or label them"),
        (_strange_type, UnusableCells, r"obs\['kind'\] has the types compound; .*one of genetic, cytokine, drug"),
        (_relabel("STAT1", ""), UnusableCells, r"24 cells have no perturbation label; drop them or label them"),
        (_relabel("STAT1", "  "), UnusableCells, r"24 cells have no perturbation label; drop them or label them"),
        (_relabel("STAT1", "Ca2+"), UnusableCells, r"'Ca2\+' has nothing on one side of a plus.*such as 'Ca\(2\+\)'"),
        (_relabel("STAT1", "+A"), UnusableCells, r"'\+A' has nothing on one side of a plus sign"),
        (_relabel("STAT1", "A++B"), UnusableCells, r"'A\+\+B' has nothing on one side of a plus sign"),
        (_blank_donor, UnusableCells, r"2 cells have no 'donor', which is part of the context; drop them or label"),
        (_nameless_gene, UnusableCells, r"var_names has 2 genes without a name; name them or drop them"),
        (_two_types, UnusableCells, r"label 'STAT1' has the types cytokine and genetic; rename one"),
        (_infinite_dose, UnusableCells, r"obs\['dose'\] has 8 doses that are no numbers \(such as 'inf'\)"),
        (_negative_dose, UnusableCells, r"obs\['dose'\] has negative doses; give them on a linear scale"),
        (_donor_per_treatment, UnusableCells, r"'donor' determines the perturbation.*leave it out of data\.context"),
    ],
)
@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
def test_unusable_cells_are_refused_with_reason_and_cure(
    table: anndata.AnnData, source_of: SourceOf, spoil: Spoil, error: type[DataError], said: str
) -> None:
    spoil(table)
    source = source_of(table)
    with pytest.raises(error, match=said) as caught:
        read_cells(source)
    assert str(caught.value).startswith(source.path)


def test_a_refused_matrix_names_the_layers_of_the_file(table: anndata.AnnData, source_of: SourceOf) -> None:
    table.layers["raw"] = table.X.copy()
    _log_normalise(table)
    with pytest.raises(NotCounts, match=r"data\.layer; layers in the file: raw$"):
        read_cells(source_of(table))


def test_an_unknown_control_is_refused_with_the_labels_that_are_there(
    table: anndata.AnnData, source_of: SourceOf
) -> None:
    with pytest.raises(UnusableCells, match=r"no cell is labelled 'PBS'; set data\.control to one of: ctrl, STAT1"):
        read_cells(source_of(table, control="PBS"))


def test_a_missing_column_is_refused_with_the_columns_that_are_there(
    table: anndata.AnnData, source_of: SourceOf
) -> None:
    source = source_of(table, columns={"perturbation": "treatment", "donor": "patient"})
    with pytest.raises(MissingColumn, match=r"no column 'patient' \(data\.columns\.donor\); columns are: treatment, k"):
        read_cells(source)


def test_a_context_of_roles_without_column_is_refused(table: anndata.AnnData, source_of: SourceOf) -> None:
    with pytest.raises(MissingColumn, match=r"the context needs data\.columns\.tissue"):
        read_cells(source_of(table, context=("tissue",)))


def test_a_missing_layer_is_refused_with_the_layers_that_are_there(table: anndata.AnnData, source_of: SourceOf) -> None:
    with pytest.raises(MissingColumn, match=r"layer 'counts' is not in the file; layers are: none"):
        read_cells(source_of(table, layer="counts"))


def test_a_file_without_matrix_is_refused(table: anndata.AnnData, source_of: SourceOf) -> None:
    table.layers["counts"] = table.X
    table.X = None
    with pytest.raises(MissingColumn, match=r"X is empty; name the layer that holds raw counts"):
        read_cells(source_of(table))


@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_depths_below_the_counts_read_are_refused(table: anndata.AnnData, source_of: SourceOf, value: float) -> None:
    table.obs["total"] = table.obs["total"].astype(float)
    table.obs.loc[table.obs_names[3], "total"] = value
    source = source_of(table)
    with pytest.raises(UnusableCells, match=r"obs\['total'\] \(data\.columns\.depth\) must be the total UMIs"):
        read_cells(replace(source, columns={**source.columns, "depth": "total"}))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCells, match=r"none\.h5ad: no such file; check the path"):
        read_cells(CellSource(str(tmp_path / "none.h5ad"), {"perturbation": "treatment"}))


@pytest.mark.parametrize("keep", [0, 20, 3_000])
def test_a_file_that_is_no_h5ad_is_refused(table: anndata.AnnData, source_of: SourceOf, keep: int) -> None:
    source = source_of(table)
    whole = Path(source.path).read_bytes()
    Path(source.path).write_bytes(whole[:keep])
    with pytest.raises(UnreadableCells, match=r"not a readable \.h5ad \(.+\); write it with AnnData\.write_h5ad"):
        read_cells(source)


def test_a_text_file_and_an_unknown_protocol_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text("cell,GENE0\n1,2\n")
    with pytest.raises(UnreadableCells, match="not a readable"):
        read_cells(CellSource(str(tmp_path / "cells.csv"), {"perturbation": "treatment"}))
    with pytest.raises(UnreadableCells, match=r"can't be reached \(.*s4\); use a path, or an s3:// URL"):
        read_cells(CellSource("s4://bucket/cells.h5ad", {"perturbation": "treatment"}))


@pytest.mark.parametrize("error", [ConnectionRefusedError("no answer"), TimeoutError("no answer")])
def test_a_server_that_does_not_answer_is_no_damaged_file(error: OSError) -> None:
    with (
        pytest.raises(UnreadableCells, match=r"can't be reached \(no answer\); check the URL and the network"),
        readable("gs://bucket/cells.h5ad"),
    ):
        raise error


def test_counts_genes_and_labels_come_out_as_they_went_in(cells: Cells, untouched_table: anndata.AnnData) -> None:
    assert len(cells) == untouched_table.n_obs
    assert np.issubdtype(cells.counts.dtype, np.integer)
    np.testing.assert_array_equal(cells.counts.toarray(), untouched_table.X.toarray())
    assert cells.genes == tuple(untouched_table.var_names)
    assert cells.context_roles == ("cell_type", "donor")
    assert (cells.obs["donor"] == untouched_table.obs["donor"].to_numpy()).all()
    assert set(cells.obs["perturbation"]) == {"ctrl", "STAT1", "JAK2", "JAK2+STAT1", "ruxolitinib"}
    np.testing.assert_array_equal(cells.is_control, untouched_table.obs["treatment"] == "ctrl")
    np.testing.assert_array_equal(cells.depth, untouched_table.X.toarray().sum(axis=1))


@pytest.mark.parametrize("label", ["STAT1+STAT1", " STAT1 + STAT1", "STAT1+ctrl", "ctrl+STAT1+STAT1"])
def test_a_guide_pair_of_one_target_is_that_target(table: anndata.AnnData, source_of: SourceOf, label: str) -> None:
    _relabel("STAT1", label)(table)
    assert set(read_cells(source_of(table)).obs["perturbation"]) == {
        *("ctrl", "STAT1", "JAK2", "JAK2+STAT1", "ruxolitinib")
    }


def test_a_plus_sign_in_brackets_belongs_to_a_name(table: anndata.AnnData, source_of: SourceOf) -> None:
    _relabel("STAT1", "Ca(2+)")(table)
    assert "Ca(2+)" in set(read_cells(source_of(table)).obs["perturbation"])


def test_controls_have_neither_type_nor_dose(cells: Cells) -> None:
    assert set(cells.obs["perturbation_type"][cells.is_control]) == {"none"}
    assert set(cells.obs["perturbation_type"][~cells.is_control]) == {"genetic", "drug"}
    dosed = cells.obs["dose"].notna()
    assert (dosed == (cells.obs["perturbation"] == "ruxolitinib")).all()
    assert set(cells.obs["dose"][dosed]) == {0.1, 1.0, 10.0}


def test_a_type_is_genetic_unless_the_file_says_otherwise(table: anndata.AnnData, source_of: SourceOf) -> None:
    cells = read_cells(source_of(table, columns={"perturbation": "treatment"}))
    assert set(cells.obs["perturbation_type"]) == {"none", "genetic"}
    assert cells.obs["dose"].isna().all()
    assert cells.context_roles == ()


def test_counts_can_be_read_from_a_layer(table: anndata.AnnData, source_of: SourceOf, cells: Cells) -> None:
    table.layers["counts"] = table.X.toarray()  # dense
    _log_normalise(table)
    read = read_cells(source_of(table, layer="counts"))
    np.testing.assert_array_equal(read.counts.toarray(), cells.counts.toarray())
    assert read.digest() == cells.digest()


def test_cells_can_be_read_from_a_url(
    table: anndata.AnnData, source_of: SourceOf, cells: Cells, memory_url: str
) -> None:
    source = source_of(table)
    with fsspec.open(f"{memory_url}/cells.h5ad", "wb") as handle:
        handle.write(Path(source.path).read_bytes())
    read = read_cells(replace(source, path=f"{memory_url}/cells.h5ad"))
    assert read.digest() == cells.digest()


def test_the_depth_column_is_the_library_size(table: anndata.AnnData, source_of: SourceOf) -> None:
    source = source_of(table)
    read = read_cells(replace(source, columns={**source.columns, "depth": "total"}))
    np.testing.assert_array_equal(read.depth, table.obs["total"])
    assert "depth" not in read.context_roles


def test_the_context_is_what_is_asked_for(table: anndata.AnnData, source_of: SourceOf) -> None:
    assert read_cells(source_of(table, context=("donor",))).context_roles == ("donor",)
    assert read_cells(source_of(table, context=())).context_roles == ()


def test_cells_are_selected_by_mask_and_by_position(cells: Cells) -> None:
    mask = np.arange(len(cells)) % 7 == 0
    for kept in (cells.select(mask), cells.select(np.flatnonzero(mask))):
        np.testing.assert_array_equal(kept.counts.toarray(), cells.counts.toarray()[mask])
        assert kept.obs["perturbation"].tolist() == cells.obs["perturbation"][mask].tolist()
        np.testing.assert_array_equal(kept.depth, cells.depth[mask])
        assert kept.obs.index.tolist() == list(range(int(mask.sum())))


def test_matching_is_a_conjunction_of_alternatives(cells: Cells) -> None:
    found = cells.matching({"donor": "D1", "perturbation": ["STAT1", "JAK2"]})
    expected = (cells.obs["donor"] == "D1") & cells.obs["perturbation"].isin(["STAT1", "JAK2"])
    np.testing.assert_array_equal(found, expected)
    assert found.any()
    assert cells.matching({}).all()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"tissue": "blood"}, "no column is named for 'tissue'; named are perturbation, cell_type, donor"),
        ({"donor": "D9"}, "no cell has donor 'D9'; there are: D1, D2"),
        ({"donor": ["D1", "D9"]}, "no cell has donor 'D9'"),
    ],
)
def test_matching_refuses_what_does_not_occur(cells: Cells, wanted: dict[str, object], said: str) -> None:
    with pytest.raises(MissingColumn, match=re.escape(said)):
        cells.matching(wanted)


def test_a_digest_changes_with_every_part_of_the_training_data(cells: Cells) -> None:
    counts = cells.counts.copy()
    counts.data[0] += 1
    obs = cells.obs.assign(donor="D1")
    others = [
        replace(cells, counts=counts),
        replace(cells, genes=cells.genes[::-1]),
        replace(cells, obs=obs),
        replace(cells, depth=cells.depth + 0.5),
        replace(cells, control="STAT1"),
        replace(cells, context_roles=("donor",)),
        cells.select(np.arange(len(cells) - 1)),
    ]
    assert len({cells.digest(), *(other.digest() for other in others)}) == len(others) + 1
    assert cells.select(np.arange(len(cells))).digest() == cells.digest()


def test_the_mean_is_that_of_log1p_counts_per_10k(cells: Cells) -> None:
    keep = cells.is_control
    dense = cells.counts.toarray()[keep]
    expected = np.log1p(1e4 * dense / cells.depth[keep][:, None]).mean(axis=0)
    np.testing.assert_allclose(cells.log1p_per_10k(keep), expected)
    np.testing.assert_allclose(
        cells.log1p_per_10k(), np.log1p(1e4 * cells.counts.toarray() / cells.depth[:, None]).mean(axis=0)
    )


def _method_by_donor(table: anndata.AnnData) -> None:
    """STAT1 is activated in D1 and repressed in D2; JAK2 is always repressed, alone and beside STAT1."""
    activated = (table.obs["donor"] == "D1") & (table.obs["treatment"] == "STAT1")
    table.obs["how"] = np.where(activated, "CRISPR-a", "crispri")
    table.obs.loc[table.obs["kind"] != "genetic", "how"] = ""


def test_a_target_with_two_methods_is_two_perturbations(table: anndata.AnnData, source_of: SourceOf) -> None:
    _method_by_donor(table)
    source = source_of(table)
    cells = read_cells(replace(source, columns={**source.columns, "method": "how"}))
    assert set(cells.obs["perturbation"]) == {
        "ctrl",
        "STAT1 (CRISPRa)",
        "STAT1 (CRISPRi)",
        "JAK2",
        "JAK2+STAT1 (CRISPRi)",
        "ruxolitinib",
    }
    vocabulary = build_vocabulary(cells)
    assert set(vocabulary.parts) == {"STAT1 (CRISPRa)", "STAT1 (CRISPRi)", "JAK2", "ruxolitinib"}
    assert vocabulary.methods == {"JAK2": "CRISPRi", "STAT1 (CRISPRa)": "CRISPRa", "STAT1 (CRISPRi)": "CRISPRi"}
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary
    assert cells.matching({"method": "CRISPRa"}).sum() == cells.matching({"perturbation": "STAT1 (CRISPRa)"}).sum()


def test_one_method_leaves_the_labels_as_they_are(table: anndata.AnnData, source_of: SourceOf) -> None:
    table.obs["how"] = "KO"
    source = source_of(table)
    cells = read_cells(replace(source, columns={**source.columns, "method": "how"}))
    assert cells.obs["perturbation"].equals(read_cells(source).obs["perturbation"])
    assert set(cells.obs.loc[cells.obs["perturbation_type"] != "genetic", "method"]) == {""}
    assert build_vocabulary(cells).methods == {"JAK2": "knockout", "STAT1": "knockout"}


def test_genetic_cells_without_a_method_are_refused(table: anndata.AnnData, source_of: SourceOf) -> None:
    _method_by_donor(table)
    table.obs.loc[table.obs_names[np.flatnonzero(table.obs["treatment"] == "JAK2")[:3]], "how"] = " "
    source = source_of(table)
    with pytest.raises(UnusableCells, match=r"obs\['how'\] is empty for 3 cells with a genetic perturbation; fill it"):
        read_cells(replace(source, columns={**source.columns, "method": "how"}))


def test_a_change_of_the_environment_is_a_type(table: anndata.AnnData, source_of: SourceOf) -> None:
    table.obs["kind"] = table.obs["kind"].replace("drug", "environment")
    assert build_vocabulary(read_cells(source_of(table))).perturbations["ruxolitinib"].type == "environment"


def test_an_atlas_needs_no_perturbation_column(table: anndata.AnnData, source_of: Callable[..., CellSource]) -> None:
    columns = {"cell_type": "type", "donor": "donor"}
    cells = read_cells(source_of(table, columns=columns))
    assert cells.is_control.all()
    assert set(cells.obs["perturbation_type"]) == {"none"}
    assert build_vocabulary(cells).perturbations == {}


def test_only_controls_are_told_how_to_be_an_atlas(
    table: anndata.AnnData, source_of: Callable[..., CellSource]
) -> None:
    table.obs["treatment"] = "ctrl"
    with pytest.raises(UnusableCells, match="perturbation: null"):
        read_cells(source_of(table))
