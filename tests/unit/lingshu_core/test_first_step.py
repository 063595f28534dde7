"""The first pass is computed once where it comes again, and every number stays the same to the bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lingshu_core.backbone import BackboneConfig
from lingshu_core.conditioning import Condition, ConditionBatch, index_conditions
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.estimator import EstimatorKind, ShardRequest, estimate_shard
from lingshu_core.first_step import FirstSteps
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.vocabulary import Vocabulary

CONTEXT = {"cell_type": "T cells", "donor": "D1"}
CONDITIONS = (Condition(CONTEXT), Condition(CONTEXT, (("JAK2", None),)), Condition(CONTEXT, (("STAT1", None),)))
DEPTHS = np.linspace(300.0, 900.0, 40)
BACKBONE = BackboneConfig(blocks=1, width=8, heads=2, feed_forward=16, patch_size=4)


def _passes(denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch) -> list[ConditionBatch]:
    seen: list[ConditionBatch] = []
    whole = denoiser.features

    def features(tokens: torch.Tensor, batch: ConditionBatch) -> Any:
        seen.append(batch)
        return whole(tokens, batch)

    monkeypatch.setattr(denoiser, "features", features)
    return seen


def _moments(denoiser: Denoiser, words: Vocabulary, kind: EstimatorKind, guidance: float) -> list[Any]:
    settings, root = RevealSettings(steps=3, guidance=guidance), RandomRoot(0, "", "")
    return [
        estimate_shard(denoiser, words, DEPTHS, ShardRequest(each, root, shard, 4, settings), kind).moments
        for each in CONDITIONS
        for shard in range(2)
    ]


@pytest.mark.parametrize(
    ("config", "guidance", "passes"),
    [
        (DenoiserConfig(), 0.0, 18),  # three conditions, two shards, three steps: nothing comes again
        (DenoiserConfig(), 1.5, 36 - 12 + 4 + 2),  # the control once for a shard, as a branch and as a condition
        (DenoiserConfig(depth_token=False), 0.0, 18 - 3),  # once for a condition
        (DenoiserConfig(depth_token=False, backbone=BACKBONE), 1.5, 36 - 12 + 3),
    ],
    ids=["plain", "guided", "no depth", "no depth, guided, backbone"],
)
@pytest.mark.parametrize("kind", ["variance_reduced", "sampled"])
def test_it_is_computed_once_and_changes_nothing(
    make_denoiser: Callable[..., Denoiser],
    vocabulary: Vocabulary,
    monkeypatch: pytest.MonkeyPatch,
    config: DenoiserConfig,
    guidance: float,
    passes: int,
    kind: EstimatorKind,
) -> None:
    denoiser = make_denoiser(config, noise=0.3).fold()
    denoiser.first_steps = None
    expected = _moments(denoiser, vocabulary, kind, guidance)
    seen = _passes(denoiser.fold(), monkeypatch)
    found = _moments(denoiser, vocabulary, kind, guidance)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(seen) == passes


def test_training_forgets_it(make_denoiser: Callable[..., Denoiser]) -> None:
    denoiser = make_denoiser().fold()
    assert denoiser.first_steps is not None
    assert denoiser.train().first_steps is None
    assert denoiser.eval().first_steps is None


def test_what_was_not_asked_for_the_longest_time_makes_room(vocabulary: Vocabulary) -> None:
    kept: FirstSteps[str] = FirstSteps(uses_depth=True, size=len, most_bytes=10)
    computed: list[int] = []

    def ask(depth: int) -> str:
        def compute() -> str:
            computed.append(depth)
            return "four"

        return kept.get(index_conditions(vocabulary, [Condition(CONTEXT)], np.array([float(depth)])), compute)

    for depth in (1, 2, 1, 3, 1, 2):
        assert ask(depth) == "four"
    assert computed == [1, 2, 3, 2]
