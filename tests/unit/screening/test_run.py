import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import polars as pl
import pytest

from actors.blobs import open_blobs
from actors.epoch import Epoch
from actors.errors import Fenced, StoreError
from actors.history import History
from actors.ledger import Ledger
from actors.manifest import read_commit_lines
from campaigns.errors import SpecError
from screening.planning.campaign import load_campaign, plan_campaign
from screening.publishing.publication import ledger_url
from screening.run import STAGES, RunResult, run_campaign

WriteScreen = Callable[..., Path]
FEW: dict[str, Any] = {
    "contexts": {"cell_type": "type_1"},
    "perturbations": {"genetic": ["REG04", "REG05"], "drug": ["DRUG01"]},
}


def effects_of(folder: Path) -> anndata.AnnData:
    return anndata.read_h5ad(folder / "effects.h5ad")


def test_a_run_goes_through_eight_stages(write_screen: WriteScreen, listener: Any, tmp_path: Path) -> None:
    result = run_campaign(write_screen(**FEW, publish={"effects": "all"}), listener)
    assert tuple(listener.stages) == STAGES
    assert listener.done[-1] == 10
    assert (result.computed, result.reused, result.failed, result.complete) == (10, 0, 0, True)
    assert result.hits.height == 4
    assert set(result.hits["perturbation"]) == {"REG04", "REG05", "DRUG01@0.1", "DRUG01@1"}
    manifest = json.loads((tmp_path / "screen" / "manifest.json").read_text())
    for name, told in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "screen" / name).read_bytes()).hexdigest() == told["sha256"]
    assert (manifest["conditions"], manifest["failed"], manifest["conditions_in_effects"]) == (4, 0, 4)
    assert manifest["question"] == "SIMULATED_PROGRAM down (8 genes)"
    assert manifest["effects_of_all"] == "effects.zarr"
    every = anndata.read_zarr(tmp_path / "screen/effects.zarr")
    best = effects_of(tmp_path / "screen")[every.obs_names]
    np.testing.assert_array_equal(every.X, best.X)
    assert every.obs["score"].to_list() == best.obs["score"].to_list()


def test_a_second_run_computes_nothing_and_writes_the_same(
    write_screen: WriteScreen, listener: Any, tmp_path: Path
) -> None:
    first = run_campaign(write_screen(**FEW), listener)
    files = {name: (tmp_path / "screen" / name).read_bytes() for name in ("hits.parquet", "hits.csv", "plan.json")}
    second = run_campaign(write_screen(**FEW), listener)
    assert (second.computed, second.reused, second.run_id) == (0, 10, first.run_id)
    assert second.hits.equals(first.hits, null_equal=True)
    assert {name: (tmp_path / "screen" / name).read_bytes() for name in files} == files


def test_more_shards_only_add_to_what_is_there(write_screen: WriteScreen, listener: Any) -> None:
    run_campaign(write_screen(**FEW), listener)
    more = run_campaign(write_screen(**FEW, estimator={"shards": 24, "depth_strata": 4, "steps": 3}), listener)
    assert (more.computed, more.reused) == (5, 10)
    assert set(more.hits["shards"]) == {24}


def test_another_objective_needs_no_new_block(write_screen: WriteScreen, listener: Any) -> None:
    run_campaign(write_screen(**FEW), listener)
    other = run_campaign(write_screen(**FEW, objective={"kind": "markers", "genes": {"REG01": "up"}}), listener)
    assert (other.computed, other.reused) == (0, 10)
    assert {"effect[REG01]", "effect_se[REG01]"} <= set(other.hits.columns)


def test_runs_with_another_seed_or_model_never_mix(
    write_screen: WriteScreen, write_train: Callable[..., Path], listener: Any, tmp_path: Path
) -> None:
    from screening.training.training_request import train_model

    train_model(write_train(training={"epochs": 1, "device": "cpu", "seed": 4}))
    variants: list[dict[str, Any]] = [{}, {"seed": 1}, {"model": str(tmp_path / "model")}]
    apart = [
        run_campaign(write_screen(**FEW, **v, output=str(tmp_path / f"{i}")), listener) for i, v in enumerate(variants)
    ]
    together = [run_campaign(write_screen(**FEW, **variant), listener) for variant in variants]
    assert len({result.run_id for result in together}) == 3
    for one, shared in zip(apart, together, strict=True):
        assert (shared.computed, shared.reused, shared.run_id) == (10, 0, one.run_id)
        assert shared.hits.equals(one.hits, null_equal=True)
        (record,) = (tmp_path / "screen" / "runs" / shared.run_id[:16]).glob("*/hits.parquet")
        assert pl.read_parquet(record).equals(one.hits, null_equal=True)
    assert pl.read_parquet(tmp_path / "screen" / "hits.parquet").equals(apart[2].hits, null_equal=True)
    np.testing.assert_array_equal(effects_of(tmp_path / "screen").X, effects_of(tmp_path / "2").X)
    assert len(Ledger(open_blobs(ledger_url(str(tmp_path / "screen")))).committed()) == 30
    again = run_campaign(write_screen(**FEW), listener)
    assert (again.computed, again.reused) == (0, 10)
    assert again.hits.equals(apart[0].hits, null_equal=True)


def test_effects_are_conditions_by_genes_with_the_whole_hit_table(
    write_screen: WriteScreen, listener: Any, tmp_path: Path
) -> None:
    result = run_campaign(write_screen(**FEW), listener)
    table = effects_of(tmp_path / "screen")
    assert table.shape == (4, 40)
    assert set(table.obs.columns) == set(result.hits.columns)
    assert set(table.layers) == {
        *("effect_se", "effect_counts", "effect_counts_se", "control_mean", "control_mean_counts"),
        *("mean", "variance", "mean_counts", "variance_counts"),
    }
    np.testing.assert_allclose(table.layers["mean"] - table.layers["control_mean"], table.X, atol=1e-5)
    assert table.var["in_objective"].sum() == 8
    hits = {row["perturbation"]: row for row in result.hits.iter_rows(named=True)}
    genes = table.var_names[table.var["in_objective"]]
    for position, label in enumerate(table.obs["perturbation"]):
        assert table.obs["score"].iloc[position] == pytest.approx(hits[label]["score"])
        kept = [gene for gene in genes if gene != label]
        effect = -float(table[position, kept].X.mean())
        assert hits[label]["effect"] == pytest.approx(effect, abs=1e-6)
    assert table.obs["dose"].isna().sum() == 2


def test_a_condition_that_the_objective_leaves_no_gene_fails_alone(write_screen: WriteScreen, listener: Any) -> None:
    result = run_campaign(write_screen(**FEW, objective={"kind": "markers", "genes": {"REG04": "down"}}), listener)
    assert (result.failed, result.complete) == (1, False)
    failed = result.hits.filter(pl.col("status") == "failed")
    assert failed["perturbation"].to_list() == ["REG04"]
    assert "own targets (REG04)" in failed["reason"][0]


def test_own_targets_can_be_kept(write_screen: WriteScreen, listener: Any) -> None:
    objective = {"kind": "markers", "genes": {"REG04": "down"}, "exclude_own_targets": False}
    assert run_campaign(write_screen(**FEW, objective=objective), listener).complete


def test_the_resolved_campaign_can_be_run_again(write_screen: WriteScreen, listener: Any, tmp_path: Path) -> None:
    first = run_campaign(write_screen(**FEW), listener)
    again = run_campaign(tmp_path / "screen" / "campaign.yaml", listener)
    assert (again.run_id, again.computed) == (first.run_id, 0)


def test_folders_with_a_space_work(write_screen: WriteScreen, listener: Any, tiny: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny / "model", tmp_path / "my model")
    path = write_screen(**FEW, model=str(tmp_path / "my model"), output=str(tmp_path / "my screen"))
    assert run_campaign(path, listener).complete
    assert (tmp_path / "my screen" / "hits.csv").exists()


def test_an_output_that_cannot_be_written_is_told_before_anything_is_computed(
    write_screen: WriteScreen, listener: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make the folder"):
        run_campaign(write_screen(**FEW), listener, {"output": str(tmp_path / "file" / "x")})
    assert listener.stages == ["load", "plan", "open"]


def test_complete_means_that_nothing_failed() -> None:
    assert RunResult("r", "o", pl.DataFrame(), 1, 0, 0).complete
    assert not RunResult("r", "o", pl.DataFrame(), 1, 0, 1).complete


def test_the_two_estimators_agree_within_their_errors(write_screen: WriteScreen, listener: Any, tmp_path: Path) -> None:
    found, scores = [], []
    for kind, strata in (("variance_reduced", 8), ("sampled", 32)):
        output = str(tmp_path / kind)
        estimator = {"kind": kind, "shards": 32, "depth_strata": strata}
        scores.append(run_campaign(write_screen(**FEW, output=output, estimator=estimator), listener).hits)
        found.append(effects_of(tmp_path / kind))
    exact, drawn = found
    assert exact.obs["perturbation"].to_list() == drawn.obs["perturbation"].to_list()
    # Not the standard errors of effects: where no draw of a rare gene changed, the one of `sampled` is zero.
    errors = np.sqrt(drawn.layers["variance"] / (32 * 32))
    deviations = (exact.layers["mean"] - drawn.layers["mean"]) / errors
    assert 0.5 < np.sqrt(np.square(deviations).mean()) < 1.3
    assert np.abs(deviations).max() < 5
    np.testing.assert_allclose(exact.layers["variance"].mean(), drawn.layers["variance"].mean(), rtol=0.1)
    one, other = (each.sort("perturbation") for each in scores)
    apart = (one["score"] - other["score"]).to_numpy()
    assert (np.abs(apart) < 4 * np.hypot(one["score_se"].to_numpy(), other["score_se"].to_numpy())).all()
    assert one["score_se"].mean() < 0.5 * other["score_se"].mean()  # from a quarter of the cells


def test_the_hit_table_can_be_read_from_its_bytes(write_screen: WriteScreen, listener: Any, tmp_path: Path) -> None:
    result = run_campaign(write_screen(**FEW), listener)
    assert pl.read_parquet(io.BytesIO((tmp_path / "screen" / "hits.parquet").read_bytes())).equals(
        result.hits, null_equal=True
    )
    csv = pl.read_csv(tmp_path / "screen" / "hits.csv")
    assert csv["perturbation"].to_list() == result.hits["perturbation"].to_list()


def test_the_plan_on_disk_is_the_plan(write_screen: WriteScreen, listener: Any, tmp_path: Path) -> None:
    from campaigns.plan import Plan

    path = write_screen(**FEW)
    run_campaign(path, listener)
    stored = Plan.from_json(json.loads((tmp_path / "screen" / "plan.json").read_text()))
    assert stored.blocks == plan_campaign(load_campaign(path)).plan.blocks


def test_a_run_with_the_published_prior_and_sampler(write_screen: WriteScreen, listener: Any) -> None:
    """The regulators are genes of the model, and knocked down nowhere as far as the published thresholds want."""
    few = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05", "REG04+REG08"]}}
    estimator = {"sampler": "paper", "prior": "published", "shards": 8, "depth_strata": 4}
    found = run_campaign(write_screen(**few, estimator=estimator), listener).hits.sort("perturbation")
    plain = run_campaign(write_screen(**few, estimator={**estimator, "prior": "none"}), listener).hits
    assert found["prior_genes"].to_list() == [1, 2, 1]
    assert plain["prior_genes"].to_list() == [0, 0, 0]
    assert found["run_id"][0] != plain["run_id"][0]
    shared = {name: set(found[name]) for name in ("estimator", "steps", "schedule", "guidance")}
    assert shared == {"estimator": {"sampled"}, "steps": {3}, "schedule": {"cosine"}, "guidance": {2.0}}


def test_campaigns_with_a_cache_share_what_they_have_in_common(
    write_screen: WriteScreen, listener: Any, tmp_path: Path
) -> None:
    """Other outputs, names, objectives, and more contexts, perturbations or shards: only what is new is computed."""

    def screen(name: str, **changes: Any) -> tuple[int, int]:
        content = {**FEW, "output": str(tmp_path / name), "cache": str(tmp_path / "cache"), **changes}
        result = run_campaign(write_screen(**content), listener)
        assert result.cache == str(tmp_path / "cache")
        return result.computed, result.reused

    more_drugs = {**FEW["perturbations"], "drug": ["DRUG01", "DRUG02"]}
    assert screen("first") == (10, 0)
    assert screen("same") == (0, 10)
    assert screen("drugs", perturbations=more_drugs) == (4, 10)
    assert screen("contexts", contexts={"cell_type": ["type_1", "type_2"]}) == (10, 10)
    assert screen("shards", estimator={"shards": 24, "depth_strata": 4, "steps": 3}) == (5, 10)
    assert screen("markers", objective={"kind": "markers", "genes": {"REG01": "up"}}) == (0, 10)
    assert screen("seed", seed=1) == (10, 0)
    alone = {**FEW, "perturbations": more_drugs, "output": str(tmp_path / "alone")}
    shared = pl.read_parquet(tmp_path / "drugs" / "hits.parquet")
    assert shared.equals(run_campaign(write_screen(**alone), listener).hits, null_equal=True)
    assert not (tmp_path / "drugs" / "ledger" / "commits").exists()


def test_a_run_that_was_taken_over_stops_and_publishes_nothing(
    write_screen: WriteScreen, listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from screening import run

    monkeypatch.setattr(run, "FENCE_SECONDS", 0.0)
    path = write_screen(**FEW)
    blobs = open_blobs(str(tmp_path / "screen"))

    class TakenOver:
        """Hears that the run has computed a block, and begins another run."""

        def stage(self, name: str, detail: str) -> None:
            pass

        def progress(self, progress: Any) -> None:
            if progress.done == 1:
                Epoch.begin(History(blobs), "another run")

    with pytest.raises(Fenced, match=r"another run \(another run\) has taken over \(epoch 2"):
        run_campaign(path, TakenOver())
    assert not (tmp_path / "screen" / "hits.parquet").exists()
    there = len(Ledger(open_blobs(ledger_url(str(tmp_path / "screen")))).committed())
    assert there > 0  # what it had computed until then counts
    again = run_campaign(path, listener)
    assert (again.computed, again.reused) == (10 - there, there)


def test_the_same_results_again_make_no_new_version(write_screen: WriteScreen, listener: Any, tmp_path: Path) -> None:
    for _ in range(3):
        run_campaign(write_screen(**FEW), listener)
    (version,) = History(open_blobs(str(tmp_path / "screen"))).chain()
    assert (version.number, version.results, version.facts) == (1, 10, {"name": "tiny"})
    listed = read_commit_lines(History(open_blobs(str(tmp_path / "screen"))).read(version.commits))
    assert set(listed) == Ledger(open_blobs(ledger_url(str(tmp_path / "screen")))).committed()


@pytest.mark.parametrize("cache", ["model", "screen"])
def test_a_cache_has_a_folder_of_its_own(write_screen: WriteScreen, tiny: Path, tmp_path: Path, cache: str) -> None:
    place = tiny / "model" if cache == "model" else tmp_path / "screen"
    with pytest.raises(SpecError, match="cache: is the folder of the results or of a model"):
        load_campaign(write_screen(**FEW, cache=str(place)))


def test_a_bad_condition_stands_alone(
    write_screen: WriteScreen, listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lease holds all blocks; those of one condition fail, each three times, and no other is lost or repeated."""
    from screening.running import worker

    ran: list[str] = []
    run_block = worker.ShardWorker.run

    def run(self: worker.ShardWorker, payload: bytes) -> bytes:
        perturbation = json.loads(payload)["perturbation"]
        ran.append(perturbation[0]["name"] if perturbation else "control")
        if ran[-1] == "REG05":
            raise ValueError("REG05 is more than this model can bear")
        return run_block(self, payload)

    monkeypatch.setattr(worker.ShardWorker, "run", run)
    result = run_campaign(write_screen(**FEW), listener)
    assert (result.computed, result.failed) == (8, 1)
    (row,) = result.hits.filter(pl.col("status") == "failed").iter_rows(named=True)
    assert row["perturbation"] == "REG05"
    assert "REG05 is more than this model can bear" in row["reason"]
    assert ran.count("REG05") == 2 * 3
    assert len(ran) == 8 + 2 * 3
    assert len(Ledger(open_blobs(ledger_url(str(tmp_path / "screen")))).committed()) == 8
