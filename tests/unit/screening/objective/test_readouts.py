from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from campaigns.conditions import Context
from campaigns.screen_spec import MarkersSpec, SignatureSpec, TargetStateSpec
from lingshu_core.errors import MissingColumn
from screening.errors import ObjectiveError
from screening.objective.readouts import build_readouts, cell_sources

MODEL_GENES = ("A", "B", "C", "ONLY_IN_MODEL")
T_CELLS, B_CELLS = Context.of({"cell_type": "T"}), Context.of({"cell_type": "B"})


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write real cells, genes in another order than the model's: stimulation raises A and lowers B in T cells."""

    def write(genes: tuple[str, ...] = ("ONLY_IN_CELLS", "B", "A", "C")) -> dict[str, Any]:
        draw, blocks, labels = np.random.default_rng(0), [], []
        for cell_type, perturbation, a, b in [
            ("T", "control", 2.0, 20.0),
            ("T", "stim", 20.0, 2.0),
            ("B", "control", 30.0, 10.0),
            ("B", "stim", 30.0, 10.0),
        ]:
            means = np.array([50.0, b, a, 10.0])
            blocks.append(draw.poisson(means, (60, 4)))
            labels += [(cell_type, perturbation)] * 60
        obs = pd.DataFrame(labels, columns=["kind", "treatment"], index=[f"c{i}" for i in range(len(labels))])
        table = anndata.AnnData(
            sp.csr_matrix(np.concatenate(blocks).astype(np.float32)), obs=obs, var=pd.DataFrame(index=list(genes))
        )
        table.write_h5ad(tmp_path / "cells.h5ad")
        columns = {"perturbation": "treatment", "cell_type": "kind"}
        return {"path": str(tmp_path / "cells.h5ad"), "columns": columns}

    return write


def reference(data: dict[str, Any], mode: str, cell_type: str = "T") -> SignatureSpec:
    start, to = ({"cell_type": cell_type, "perturbation": label} for label in ("control", "stim"))
    content = {"mode": mode, "data": data, "from": start, "to": to}
    return SignatureSpec.model_validate({"kind": "signature", "reference": content})


def toward(data: dict[str, Any], **group: str) -> TargetStateSpec:
    return TargetStateSpec.model_validate({"kind": "target_state", "data": data, "group": group})


def test_a_signature_is_the_same_in_every_context() -> None:
    spec = SignatureSpec.model_validate({"kind": "signature", "up": ["A"], "down": ["C"]})
    found = build_readouts(spec, {"up": ["A"], "down": ["C"]}, MODEL_GENES, [T_CELLS, B_CELLS])
    assert list(found) == [T_CELLS, B_CELLS]
    assert found[T_CELLS] is found[B_CELLS]
    assert found[T_CELLS].weights.tolist() == [1, 0, -1, 0]
    assert found[T_CELLS].question == "A up, C down"
    assert found[T_CELLS].marker_genes == ()


def test_a_gene_set_is_named_in_the_question() -> None:
    gene_set = {"file": "sets.gmt", "name": "RESPONSE", "direction": "down"}
    spec = SignatureSpec.model_validate({"kind": "signature", "gene_set": gene_set})
    found = build_readouts(spec, {"up": [], "down": ["A", "B"]}, MODEL_GENES, [T_CELLS])[T_CELLS]
    assert found.question == "RESPONSE down (2 genes)"
    assert found.weights.tolist() == [-1, -1, 0, 0]


def test_a_long_question_is_cut() -> None:
    genes = [f"G{i}" for i in range(9)]
    spec = SignatureSpec.model_validate({"kind": "signature", "up": genes})
    found = build_readouts(spec, {"up": genes, "down": []}, tuple(genes), [T_CELLS])[T_CELLS]
    assert found.question == "G0 up, G1 up, G2 up, G3 up, G4 up, G5 up and 3 more"


def test_markers_keep_their_names_for_columns() -> None:
    spec = MarkersSpec.model_validate({"kind": "markers", "genes": {"C": "down", "A": "up"}})
    found = build_readouts(spec, {"up": ["A"], "down": ["C"]}, MODEL_GENES, [T_CELLS])[T_CELLS]
    assert found.weights.tolist() == [1, 0, -1, 0]
    assert set(found.marker_genes) == {"A", "C"}
    assert found.normalisation == "mean"


def test_mimic_goes_along_a_change_of_real_cells(data: Callable[..., dict[str, Any]]) -> None:
    found = build_readouts(reference(data(), "mimic"), None, MODEL_GENES, [T_CELLS, B_CELLS])[B_CELLS]
    assert found.weights[0] > 1.5
    assert found.weights[1] < -1.5
    assert found.weights[3] == 0  # the cells don't have the gene
    assert found.normalisation == "share"
    assert found.question == "mimic the change from cell_type T, perturbation control to cell_type T, perturbation stim"


def test_reverse_goes_the_other_way(data: Callable[..., dict[str, Any]]) -> None:
    cells = data()
    mimic = build_readouts(reference(cells, "mimic"), None, MODEL_GENES, [T_CELLS])[T_CELLS]
    reverse = build_readouts(reference(cells, "reverse"), None, MODEL_GENES, [T_CELLS])[T_CELLS]
    np.testing.assert_array_equal(reverse.weights, -mimic.weights)
    assert reverse.question.startswith("reverse the change")


def test_a_target_state_starts_from_each_context(data: Callable[..., dict[str, Any]]) -> None:
    spec = toward(data(), cell_type="T", perturbation="stim")
    found = build_readouts(spec, None, MODEL_GENES, [T_CELLS, B_CELLS])
    assert found[T_CELLS].weights[0] > 1.5
    assert found[B_CELLS].weights[0] < -0.1  # B cells have more of A than stimulated T cells
    assert found[T_CELLS].question == "toward cell_type T, perturbation stim"


def test_a_context_that_is_the_target_already_is_refused(data: Callable[..., dict[str, Any]]) -> None:
    spec = toward(data(), cell_type="T", perturbation="control")
    with pytest.raises(ObjectiveError, match=r"cell_type=T is the target already; leave it out of `contexts`"):
        build_readouts(spec, None, MODEL_GENES, [T_CELLS])
    assert build_readouts(spec, None, MODEL_GENES, [B_CELLS])[B_CELLS].used.any()


def test_cells_without_any_gene_of_the_model_are_refused(data: Callable[..., dict[str, Any]]) -> None:
    spec = reference(data(("ENSG1", "ENSG2", "ENSG3", "ENSG4")), "mimic")
    with pytest.raises(ObjectiveError, match="shares no gene with the model"):
        build_readouts(spec, None, MODEL_GENES, [T_CELLS])


def test_groups_of_cells_that_do_not_differ_are_refused(data: Callable[..., dict[str, Any]]) -> None:
    spec = reference(data(), "mimic", cell_type="B")
    with pytest.raises(ObjectiveError, match="do not differ"):
        build_readouts(spec, None, ("ONLY_IN_MODEL", "C"), [B_CELLS])


def test_a_group_that_does_not_occur_is_refused(data: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(MissingColumn, match="no cell has cell_type 'NK'"):
        build_readouts(toward(data(), cell_type="NK"), None, MODEL_GENES, [T_CELLS])


def test_the_data_block_is_translated_whole(data: Callable[..., dict[str, Any]]) -> None:
    spec = toward(data() | {"layer": "counts", "control": "none"}, cell_type="T").data
    (source,) = cell_sources(spec)
    assert source.columns == {"perturbation": "treatment", "cell_type": "kind"}
    assert (source.layer, source.control, source.context_roles) == ("counts", "none", ("cell_type",))
