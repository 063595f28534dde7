"""The worker of a replica: holds the model and turns the payload of a block into its bytes."""

from __future__ import annotations

import gc
import json
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from campaigns.plan import FORMAT
from lingshu_core.conditioning import Condition
from lingshu_core.estimator import SAMPLER_VERSION, EstimatorKind, ShardRequest, ShardResult
from lingshu_core.exhaustion import MEMORY_ERRORS, device_words, is_out_of_memory, shortened
from lingshu_core.predictor import Predictor, StoredPredictor, open_predictor
from lingshu_core.prior_genes import PriorInjection
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.training import pick_device
from screening.errors import BlockError, DeviceFailure, NonFiniteResult, ReplicaOutOfMemory, ScreeningError
from screening.running.node_cache import on_this_node
from screening.running.store import BlockResult, DrawnCells, encode_block


def open_worker(model: str, digest: str, device: str = "auto", threads: int = 1) -> ShardWorker:
    """Load the model of a replica; called by name in the replica's own process.

    Parameters
    ----------
    model
        Folder or URL of the checkpoint.
    digest
        Digest that the plan was made for.
    device, threads
        Where and with how many CPU threads to compute. The number of threads can change the last bit of a
        result, so it is the same for all replicas.

    Raises
    ------
    CheckpointError
        If the checkpoint can't be used.
    BlockError
        If it is not the one of the plan.
    """
    torch.set_num_threads(threads)
    predictor = open_predictor(on_this_node(model, digest), pick_device(device))
    if predictor.header.digest != digest:
        raise BlockError(
            f"{model}: the checkpoint is {predictor.header.digest[:12]}, the plan was made for {digest[:12]};"
            " it changed since: run the campaign again"
        )
    return ShardWorker(predictor)


class ShardWorker:
    """Computes blocks; one at a time, in one thread."""

    def __init__(self, predictor: StoredPredictor) -> None:
        self.predictor = predictor
        priors = predictor.header.priors
        self._injection = PriorInjection(predictor.vocabulary, priors) if priors else None

    def run(self, payload: bytes) -> bytes:
        """Compute one block: payload is the plan's JSON, the result the bytes of a :class:`BlockResult`.

        Raises
        ------
        ConditionError
            If the model has no words for the condition.
        NonFiniteResult
            If the model gave NaN or infinity.
        DeviceFailure
            If the GPU failed under it.
        ReplicaOutOfMemory
            If a shard doesn't fit into the memory of the device.
        """
        request = json.loads(payload)
        if request["format"] != FORMAT or request["sampler_version"] != str(SAMPLER_VERSION):
            raise BlockError(
                f"the plan was made for sampler version {request['sampler_version']} (format {request['format']}), this"
                f" replica has {SAMPLER_VERSION} ({FORMAT}): install one version of lingshu-screen on all nodes"
            )
        first, shards = map(int, request["shards"])
        structures = {part["name"]: part["smiles"] for part in request["perturbation"] if "smiles" in part}
        predictor = self.predictor.with_structures(structures)
        results = self._shards(predictor, request, range(first, first + shards))
        block = _collect(results, first, int(request["cells_per_shard"]), bool(request["store_cells"]), self._origin())
        if not all(np.isfinite(part).all() for part in (block.log1p_square, block.count_square)):
            raise NonFiniteResult(
                f"the model gave non-finite values for {_label(request)}; train it again, or check its data"
            )
        return encode_block(block)

    def _shards(
        self, predictor: Predictor, request: dict[str, Any], shards: range, *, again: bool = True
    ) -> list[ShardResult]:
        """Compute shards; where memory runs out, once more without what lies around."""
        try:
            return [self._shard(predictor, request, shard) for shard in shards]
        except MEMORY_ERRORS as error:
            known = _explained(error, request, self.predictor.device)
            if known is None:
                raise
            if not (again and isinstance(known, ReplicaOutOfMemory)):
                raise known from error
        # Out here nothing holds the frames of the failure any more, and with them its tensors.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self._shards(predictor, request, shards, again=False)

    def _origin(self) -> str:
        """Name what computed: results are equal to the bit only where this is the same."""
        return f"{self.predictor.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"

    def _shard(self, predictor: Predictor, request: dict[str, Any], shard: int) -> ShardResult:
        context = dict(request["context"])
        parts = tuple((part["name"], part["dose"]) for part in request["perturbation"])
        estimator = request["estimator"]
        kind: EstimatorKind = estimator["kind"]
        asked = ShardRequest(
            condition=Condition(context, parts),
            root=RandomRoot(int(request["seed"]), context_key(context), request["control_set"]),
            shard=shard,
            cells=int(request["cells_per_shard"]),
            settings=RevealSettings(estimator["steps"], estimator["schedule"], estimator["guidance"]),
            injected=self._injected([name for name, _ in parts], context) if "prior" in estimator else (),
        )
        return predictor.estimate(asked, kind)

    def _injected(self, parts: list[str], context: dict[str, str]) -> tuple[int, ...]:
        """Return the genes that the published prior pre-fills; none for a control."""
        if self._injection is None:
            raise BlockError("estimator.prior: the checkpoint has no priors.json; train it again, or set prior: none")
        return self._injection.genes(parts, context)


def is_device_failure(error: RuntimeError) -> bool:
    """Tell an error that leaves CUDA unusable in this process from one of the computation, such as a lack of memory."""
    return "CUDA error" in str(error) or "HIP error" in str(error)


def _explained(error: RuntimeError | MemoryError, request: dict[str, Any], device: str) -> ScreeningError | None:
    """Return the error to raise instead; None where we know no better than who raised it."""
    if is_out_of_memory(error):
        return ReplicaOutOfMemory(
            f"{_label(request)}: {int(request['cells_per_shard']):,} cells at a time don't fit into the memory of the"
            f" {device_words(device)} ({shortened(error)}); lower estimator.depth_strata and raise"
            " estimator.shards, or let fewer replicas share the device (compute.replicas, compute.gpus_per_replica)"
        )
    if isinstance(error, RuntimeError) and is_device_failure(error):
        return DeviceFailure(f"{_label(request)}: {str(error).partition(chr(10))[0]}")
    return None


def _label(request: dict[str, Any]) -> str:
    parts = "+".join(part["name"] for part in request["perturbation"]) or "the control"
    return f"{parts} in {', '.join(request['context'].values()) or 'all cells'}"


def context_key(context: dict[str, str]) -> str:
    """Name a context in the random numbers, independent of the order of its factors."""
    return json.dumps(context, sort_keys=True)


def _collect(results: list[ShardResult], first: int, cells: int, store_cells: bool, origin: str) -> BlockResult:
    moments = np.stack([result.moments for result in results])  # (shards, 4, genes)
    return BlockResult(
        first_shard=first,
        cells_per_shard=cells,
        log1p_mean=moments[:, 0],
        count_mean=moments[:, 2],
        log1p_square=moments[:, 1].mean(axis=0),
        count_square=moments[:, 3].mean(axis=0),
        cells=_drawn(results) if store_cells else None,
        origin=origin,
    )


def _drawn(results: list[ShardResult]) -> DrawnCells:
    counts = [sp.csr_matrix(result.counts) for result in results if result.counts is not None]
    if len(counts) != len(results):
        raise BlockError("estimator.store_cells needs estimator.kind: sampled; expectations draw no cells")
    return DrawnCells(sp.vstack(counts).tocsr(), np.concatenate([result.depth for result in results]))
