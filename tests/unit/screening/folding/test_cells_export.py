from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

from actors.ledger import Ledger
from campaigns.data_spec import NO_FACTORS, is_reserved
from screening.errors import ResultsError
from screening.folding.cells_export import export_cells
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.run import run_campaign
from screening.running.store import decode_block
from screening.running.worker import open_worker

WriteScreen = Callable[..., Path]
KEEP = {"kind": "sampled", "store_cells": True, "shards": 10, "depth_strata": 3}


@pytest.fixture
def sampled(write_screen: WriteScreen) -> PlannedCampaign:
    path = write_screen(
        contexts={"cell_type": "type_1", "donor": "donor_1"}, perturbations={"genetic": ["REG04"]}, estimator=KEEP
    )
    return plan_campaign(load_campaign(path))


@pytest.fixture
def ledger(sampled: PlannedCampaign, tiny: Path, fresh_ledger: Callable[[], Ledger]) -> Ledger:
    found, worker = fresh_ledger(), open_worker(str(tiny / "model"), sampled.campaign.model.digest, "cpu")
    for block in sampled.plan.blocks:
        found.commit(block.id, worker.run(sampled.plan.payload(block)), replica="replica-0")
    return found


def test_cells_can_be_read_by_anndata(sampled: PlannedCampaign, ledger: Ledger, tmp_path: Path) -> None:
    place = export_cells(sampled, ledger, ledger.committed(), str(tmp_path))
    cells = anndata.read_zarr(place)
    assert place == str(tmp_path / "cells.zarr")
    assert cells.shape == (2 * 10 * 3, 40)
    assert np.issubdtype(cells.X.dtype, np.integer)
    assert cells.X.min() >= 0
    assert cells.X.sum() > 0
    assert cells.obs_names.is_unique
    own = {*cells.obs.columns, cells.obs.index.name, cells.var.index.name} - {"cell_type", "donor"}
    assert [name for name in own if name not in NO_FACTORS and not is_reserved(name)] == []
    assert tuple(cells.var_names) == sampled.campaign.model.vocabulary.genes
    assert cells.obs["perturbation"].value_counts().to_dict() == {"control": 30, "REG04": 30}
    assert set(cells.obs["cell_type"]) == {"type_1"}
    assert set(cells.obs["donor"]) == {"donor_1"}
    assert cells.obs.groupby(["perturbation", "shard"], observed=True).size().eq(3).all()
    assert sorted(set(cells.obs["shard"])) == list(range(10))


def test_the_cells_are_those_of_the_blocks(sampled: PlannedCampaign, ledger: Ledger, tmp_path: Path) -> None:
    cells = anndata.read_zarr(export_cells(sampled, ledger, ledger.committed(), str(tmp_path)))
    drawn = [decode_block(ledger.read(block.id)).cells for block in sampled.plan.blocks]
    expected = np.concatenate([each.counts.toarray() for each in drawn if each is not None])
    np.testing.assert_array_equal(cells.X.toarray(), np.floor(expected))
    depths = np.concatenate([each.depth for each in drawn if each is not None])
    np.testing.assert_array_equal(cells.obs["depth"], depths)


def test_condition_and_control_share_their_depths(sampled: PlannedCampaign, ledger: Ledger, tmp_path: Path) -> None:
    obs = anndata.read_zarr(export_cells(sampled, ledger, ledger.committed(), str(tmp_path))).obs
    depths = [obs.loc[obs["perturbation"] == label, "depth"].to_list() for label in ("control", "REG04")]
    assert depths[0] == depths[1]


def test_only_complete_conditions_are_written(sampled: PlannedCampaign, ledger: Ledger, tmp_path: Path) -> None:
    last = sampled.plan.blocks[-1].id
    cells = anndata.read_zarr(export_cells(sampled, ledger, ledger.committed() - {last}, str(tmp_path)))
    assert set(cells.obs["perturbation"]) == {"control"}


def test_writing_again_replaces(sampled: PlannedCampaign, ledger: Ledger, tmp_path: Path) -> None:
    export_cells(sampled, ledger, ledger.committed() - {sampled.plan.blocks[-1].id}, str(tmp_path))
    assert anndata.read_zarr(export_cells(sampled, ledger, ledger.committed(), str(tmp_path))).n_obs == 60


def test_a_folder_with_a_space_is_written_where_it_is(sampled: PlannedCampaign, ledger: Ledger, tmp_path: Path) -> None:
    export_cells(sampled, ledger, ledger.committed(), str(tmp_path / "my results"))
    assert {each.name for each in tmp_path.iterdir() if each.is_dir()} == {"my results"}


def test_blocks_without_cells_are_refused(
    planned: PlannedCampaign, fresh_ledger: Callable[[], Ledger], made_up_block: Callable[..., bytes], tmp_path: Path
) -> None:
    ledger = fresh_ledger()
    for block in planned.plan.blocks:
        ledger.commit(block.id, made_up_block(block), replica="replica-0")
    with pytest.raises(ResultsError, match="no block holds cells"):
        export_cells(planned, ledger, ledger.committed(), str(tmp_path))


def test_a_run_that_keeps_cells_writes_them(write_screen: WriteScreen, tmp_path: Path, listener: Any) -> None:
    asked = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}
    run_campaign(write_screen(**asked, estimator=KEEP), listener)
    assert anndata.read_zarr(tmp_path / "screen" / "cells.zarr").n_obs == 60
