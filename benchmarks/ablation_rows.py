"""The rows of the ablation table: one factor at a time, everything else as in the base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from campaigns.training_spec import Configuration
from lingshu_core.reveal import RevealSettings

BASE = RevealSettings(steps=6, schedule="geometric", guidance=0.0)


@dataclass(frozen=True)
class Row:
    """One setting.

    Parameters
    ----------
    factor, value
        What is changed, and to what.
    configuration, overrides, training
        Of the training.
    settings
        Of the estimator.
    blind
        All training cells are called controls: the model knows no perturbation.
    features
        Whether perturbations are described by Reactome gene sets in training.
    prior
        Whether the published prior is injected.
    cpu_minutes
        Epochs are as many as fit into this time on one core; None: as in the base.
    not_for
        Data sets where the row makes no sense, or takes too long, and why.
    """

    factor: str
    value: str
    configuration: Configuration = "direct"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    settings: RevealSettings = BASE
    blind: bool = False
    features: bool = False
    prior: bool = False
    cpu_minutes: float | None = None
    not_for: Mapping[str, str] = field(default_factory=dict)


def _sampled(factor: str, value: str, steps: int, schedule: Any, guidance: float = 0.0) -> Row:
    return Row(factor, value, settings=RevealSettings(steps, schedule, guidance))


def _transformer(factor: str, value: str, minutes: float = 2.0, **overrides: Any) -> Row:
    training = {"learning_rate": 0.0005}  # the direct paths' rate makes a transformer diverge
    too_long = {"kang": "9,015 patches a cell: hours an epoch"} if overrides.get("patch_size") == 1 else {}
    return Row(factor, value, "tiny", overrides, training, cpu_minutes=minutes, not_for=too_long)


ROWS: tuple[Row, ...] = (
    Row("base", "rank 48, pooled 64, depth token, self-conditioning, identity decay 1"),
    *(_sampled("steps", f"geometric {steps}", steps, "geometric") for steps in (1, 3, 12)),
    *(_sampled("schedule", f"cosine {steps}", steps, "cosine") for steps in (3, 6, 16)),
    *(_sampled("schedule", f"uniform {steps}", steps, "uniform") for steps in (3, 6)),
    *(_sampled("guidance", f"w = {w}", 6, "geometric", w) for w in (1, 2, 3)),
    _sampled("sampler", "paper: cosine 3, w = 2", 3, "cosine", 2.0),
    Row("prior", "published", prior=True),
    Row("tilt", "no condition (bias + pooled)", blind=True),
    Row("tilt", "only (no pooled path)", overrides={"pooled_width": 0}),
    Row("tilt", "rank 16", overrides={"condition_rank": 16}),
    Row("tilt", "rank 96", overrides={"condition_rank": 96}),
    Row("tilt", "context × perturbation", overrides={"interaction": True}, not_for={"papalexi": "one context"}),
    Row("depth", "no depth token", overrides={"depth_token": False}),
    Row("regularisation", "weight decay 0.001", training={"weight_decay": 0.001}),
    Row("regularisation", "weight decay 0.1", training={"weight_decay": 0.1}),
    Row("regularisation", "dropout 0", overrides={"dropout": 0.0}),
    Row("regularisation", "dropout 0.3", overrides={"dropout": 0.3}),
    Row("regularisation", "factor dropout 0", training={"factor_dropout": 0.0}),
    *(Row("identity decay", f"{decay:g}", training={"identity_decay": decay}) for decay in (0.01, 0.3, 3.0)),
    Row("features", "Reactome", features=True),
    Row("self-conditioning", "off", overrides={"self_conditioning": False}),
    Row(
        "before",
        "no self-conditioning, identity decay .01",
        overrides={"self_conditioning": False},
        training={"identity_decay": 0.01},
    ),
    _transformer("backbone", "tiny, S = 32, 2 CPU minutes"),
    _transformer("backbone", "tiny, S = 8, 2 CPU minutes", patch_size=8),
    _transformer("backbone", "tiny, S = 1, 2 CPU minutes", patch_size=1),
    _transformer("backbone", "prefix only (tilt and pooled off), tiny, S = 32, 2 CPU minutes", tilt=False),
)
"""Cheapest first; those with a transformer last."""
