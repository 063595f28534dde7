import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from campaigns.plan import Block
from lingshu_core.checkpoint import Checkpoint
from lingshu_core.errors import CheckpointError, ConditionError
from lingshu_core.predictor import DiffusionPredictor
from lingshu_core.prior_genes import LoweredGenes, PriorGenes
from screening.errors import BlockError, DeviceFailure, NonFiniteResult, ReplicaOutOfMemory
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.running.store import decode_block
from screening.running.worker import ShardWorker, context_key, is_device_failure, open_worker


@pytest.fixture
def worker(planned: PlannedCampaign, tiny: Path) -> ShardWorker:
    return open_worker(str(tiny / "model"), planned.campaign.model.digest, "cpu")


def blocks_of(planned: PlannedCampaign, label: str) -> list[Block]:
    keys = [each.key for each in planned.plan.conditions if each.condition.perturbation.label == label]
    return [block for block in planned.plan.blocks if block.condition_key in keys]


def checkpoint_of(worker: ShardWorker) -> Checkpoint:
    assert isinstance(worker.predictor, DiffusionPredictor)
    return worker.predictor.checkpoint


def changed(payload: bytes, **values: Any) -> bytes:
    return json.dumps({**json.loads(payload), **values}).encode()


def test_a_payload_becomes_a_block(planned: PlannedCampaign, worker: ShardWorker) -> None:
    block = blocks_of(planned, "REG04")[1]
    found = decode_block(worker.run(planned.plan.payload(block)))
    assert (found.first_shard, found.shards, found.cells_per_shard) == (8, 8, 4)
    assert found.log1p_mean.shape == found.count_mean.shape == (8, 40)
    assert found.log1p_square.shape == found.count_square.shape == (40,)
    assert found.cells is None
    assert (found.log1p_mean >= 0).all()
    assert (found.log1p_square >= np.square(found.log1p_mean.mean(axis=0)) - 1e-4).all()


def test_the_same_payload_gives_the_same_bytes(planned: PlannedCampaign, worker: ShardWorker, tiny: Path) -> None:
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    first = worker.run(payload)
    worker.run(planned.plan.payload(blocks_of(planned, "REG05")[0]))
    assert worker.run(payload) == first
    assert open_worker(str(tiny / "model"), planned.campaign.model.digest, "cpu").run(payload) == first


def test_a_shard_does_not_depend_on_the_block_that_it_is_in(planned: PlannedCampaign, worker: ShardWorker) -> None:
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    whole = decode_block(worker.run(payload))
    part = decode_block(worker.run(changed(payload, shards=[3, 2])))
    np.testing.assert_array_equal(part.log1p_mean, whole.log1p_mean[3:5])


def test_another_seed_gives_other_numbers(planned: PlannedCampaign, worker: ShardWorker) -> None:
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    assert worker.run(changed(payload, seed=1)) != worker.run(payload)


def test_a_condition_shares_its_random_numbers_with_the_control(planned: PlannedCampaign, worker: ShardWorker) -> None:
    condition, control, other = (
        decode_block(worker.run(payload)).log1p_mean
        for payload in (
            planned.plan.payload(blocks_of(planned, "REG04")[0]),
            planned.plan.payload(blocks_of(planned, "control")[0]),
            changed(planned.plan.payload(blocks_of(planned, "control")[0]), seed=5),
        )
    )
    paired, unpaired = (condition - control).std(axis=0).mean(), (condition - other).std(axis=0).mean()
    assert paired < 0.5 * unpaired


def test_sampled_cells_are_kept_where_asked_for(planned: PlannedCampaign, worker: ShardWorker) -> None:
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    estimator = json.loads(payload)["estimator"] | {"kind": "sampled"}
    found = decode_block(worker.run(changed(payload, estimator=estimator, store_cells=True)))
    assert found.cells is not None
    assert found.cells.counts.shape == (32, 40)
    assert (found.cells.depth > 0).all()
    scaled = np.log1p(1e4 * found.cells.counts.toarray() / found.cells.depth[:, None])
    np.testing.assert_allclose(scaled.reshape(8, 4, 40).mean(axis=1), found.log1p_mean, rtol=1e-4, atol=1e-5)
    assert decode_block(worker.run(changed(payload, estimator=estimator))).cells is None


def test_expectations_have_no_cells_to_keep(planned: PlannedCampaign, worker: ShardWorker) -> None:
    with pytest.raises(BlockError, match=r"store_cells needs estimator\.kind: sampled"):
        worker.run(changed(planned.plan.payload(planned.plan.blocks[0]), store_cells=True))


def test_a_checkpoint_that_changed_since_the_plan_is_refused(tiny: Path) -> None:
    with pytest.raises(BlockError, match="the plan was made for deadbeef"):
        open_worker(str(tiny / "model"), "deadbeef" * 8, "cpu")


def test_no_checkpoint_is_an_error_of_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        open_worker(str(tmp_path), "0" * 64, "cpu")


def test_a_perturbation_without_words_is_refused(planned: PlannedCampaign, worker: ShardWorker) -> None:
    payload = planned.plan.payload(planned.plan.blocks[0])
    with pytest.raises(ConditionError, match="never trained on perturbation 'NOPE'"):
        worker.run(changed(payload, perturbation=[{"name": "NOPE", "dose": None}]))


def test_numbers_that_are_not_finite_poison_the_replica(planned: PlannedCampaign, worker: ShardWorker) -> None:
    with torch.no_grad():
        checkpoint_of(worker).denoiser.conditions.perturbation.weight[1:] = torch.nan
    worker.run(planned.plan.payload(blocks_of(planned, "control")[0]))
    with pytest.raises(NonFiniteResult, match="REG04") as raised:
        worker.run(planned.plan.payload(blocks_of(planned, "REG04")[0]))
    assert raised.value.poisons_replica


def test_an_error_of_the_gpu_poisons_the_replica(
    planned: PlannedCampaign, worker: ShardWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(ShardWorker, "_shard", fail)
    with pytest.raises(DeviceFailure, match=r"^REG04 in .*: CUDA error: device-side assert triggered$") as raised:
        worker.run(planned.plan.payload(blocks_of(planned, "REG04")[0]))
    assert raised.value.poisons_replica


def test_a_lack_of_memory_does_not_poison() -> None:
    assert not is_device_failure(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert is_device_failure(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"))


def test_a_lack_of_memory_that_passes_costs_no_attempt(
    planned: PlannedCampaign, worker: ShardWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    expected, short = worker.run(payload), iter([True])
    estimate = worker._shard

    def passing(*arguments: Any) -> Any:
        if next(short, False):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return estimate(*arguments)

    monkeypatch.setattr(worker, "_shard", passing)
    assert worker.run(payload) == expected


def test_a_lack_of_memory_that_stays_is_conclusive(
    planned: PlannedCampaign, worker: ShardWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*arguments: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(worker, "_shard", short)
    with pytest.raises(ReplicaOutOfMemory, match="lower estimator") as caught:
        worker.run(planned.plan.payload(blocks_of(planned, "REG04")[0]))
    assert caught.value.after_failure == "set aside"


def test_the_number_of_threads_is_set(planned: PlannedCampaign, tiny: Path) -> None:
    open_worker(str(tiny / "model"), planned.campaign.model.digest, "cpu", threads=1)
    assert torch.get_num_threads() == 1


def test_the_order_of_factors_does_not_change_the_random_numbers() -> None:
    assert context_key({"donor": "D1", "cell_type": "T"}) == context_key({"cell_type": "T", "donor": "D1"})
    assert context_key({"donor": "D1"}) != context_key({"donor": "D2"})


def test_averaging_over_a_factor_pools_its_depths(write_screen: Callable[..., Path]) -> None:
    planned = [
        plan_campaign(load_campaign(write_screen(contexts=contexts)))
        for contexts in ({"cell_type": "type_1"}, {"cell_type": "type_1", "donor": "all_seen"})
    ]
    assert [len(each.plan.control_sets) for each in planned] == [1, 2]
    digests = {name for each in planned for name in each.plan.control_sets.values()}
    assert len(digests) == 3


def test_a_prior_is_for_perturbations_and_leaves_the_control_as_it_is(
    planned: PlannedCampaign, worker: ShardWorker
) -> None:
    """REG04 is a gene of the model: it is pre-filled with one count, and nothing of the control changes."""
    payloads = {label: planned.plan.payload(blocks_of(planned, label)[0]) for label in ("REG04", "control")}
    estimator = {**json.loads(payloads["REG04"])["estimator"], "prior": "published"}
    without = {label: decode_block(worker.run(payload)) for label, payload in payloads.items()}
    found = {label: decode_block(worker.run(changed(each, estimator=estimator))) for label, each in payloads.items()}
    np.testing.assert_array_equal(found["control"].log1p_mean, without["control"].log1p_mean)
    target = worker.predictor.vocabulary.genes.index("REG04")
    np.testing.assert_array_equal(found["REG04"].count_mean[:, target], 1.0)
    assert found["REG04"].count_square[target] == 1.0
    paired = (found["REG04"].log1p_mean - found["control"].log1p_mean).std(axis=0).mean()
    other = decode_block(worker.run(changed(payloads["control"], estimator=estimator, seed=5))).log1p_mean
    assert paired < 0.5 * (found["REG04"].log1p_mean - other).std(axis=0).mean()


def test_what_is_lowered_in_other_contexts_is_injected(planned: PlannedCampaign, worker: ShardWorker) -> None:
    genes = worker.predictor.vocabulary.genes
    lowered = tuple(
        LoweredGenes({"cell_type": kind, "donor": "donor_1"}, (gene,))
        for kind, gene in (("type_1", genes[0]), ("type_2", genes[1]))
    )
    knowing = ShardWorker(DiffusionPredictor(replace(checkpoint_of(worker), priors=PriorGenes({"REG04": lowered}))))
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    estimator = {**json.loads(payload)["estimator"], "prior": "published"}
    counts = decode_block(knowing.run(changed(payload, estimator=estimator))).count_mean
    assert (counts[:, 1] == 1).all()
    assert not (counts[:, 0] == 1).all()  # type_1 is what is asked about


def test_a_checkpoint_without_priors_can_not_inject(planned: PlannedCampaign, worker: ShardWorker) -> None:
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    estimator = {**json.loads(payload)["estimator"], "prior": "published"}
    old = ShardWorker(DiffusionPredictor(replace(checkpoint_of(worker), priors=None)))
    with pytest.raises(BlockError, match=r"estimator\.prior: the checkpoint has no priors\.json"):
        old.run(changed(payload, estimator=estimator))
    assert old.run(payload) == worker.run(payload)


def test_structures_reach_the_model(
    planned: PlannedCampaign, worker: ShardWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def described(checkpoint: Checkpoint, structures: Mapping[str, str]) -> Checkpoint:
        asked.append(structures)
        return checkpoint

    monkeypatch.setattr("lingshu_core.predictor.with_structures", described)
    payload = planned.plan.payload(blocks_of(planned, "REG04")[0])
    parts = [{"name": "REG05", "dose": None, "smiles": "CCO"}, {"name": "REG04", "dose": None}]
    worker.run(changed(payload, perturbation=parts, shards=[0, 1]))
    assert asked == [{"REG05": "CCO"}]
